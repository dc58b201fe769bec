"""`python -m jittor_impl.train`: see `--help`."""

from common.commands.train import main
from common.errors import run_command

if __name__ == "__main__":
    run_command(lambda: main("jittor"))
