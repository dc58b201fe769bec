"""`python -m jittor_impl.evaluate`: see `--help`."""

from functools import partial

from common.commands import evaluate
from common.errors import run_command
from jittor_impl.wing import WING

main = partial(evaluate.main, WING)

if __name__ == "__main__":
    run_command(main)
