"""`python -m jittor_impl.evaluate`: see `--help`."""

from common.commands.evaluate import main
from common.errors import run_command

if __name__ == "__main__":
    run_command(lambda: main("jittor"))
