"""`python -m mindspore_impl.evaluate`: see `--help`."""

from functools import partial

from common.commands import evaluate
from common.errors import run_command
from mindspore_impl.wing import WING

main = partial(evaluate.main, WING)

if __name__ == "__main__":
    run_command(main)
