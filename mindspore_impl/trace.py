"""`python -m mindspore_impl.trace`: see `--help`."""

from functools import partial

from common.commands import trace
from common.errors import run_command
from mindspore_impl.wing import WING

main = partial(trace.main, WING)

if __name__ == "__main__":
    run_command(main)
