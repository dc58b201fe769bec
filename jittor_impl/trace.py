"""`python -m jittor_impl.trace`: see `--help`."""

from common.commands.trace import main
from common.errors import run_command

if __name__ == "__main__":
    run_command(lambda: main("jittor"))
