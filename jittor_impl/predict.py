"""`python -m jittor_impl.predict`: see `--help`."""

from common.commands.predict import main
from common.errors import run_command

if __name__ == "__main__":
    run_command(lambda: main("jittor"))
