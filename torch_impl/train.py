"""`python -m torch_impl.train`: see `--help`."""

from functools import partial

from common.commands import train
from common.errors import run_command
from torch_impl.wing import WING

main = partial(train.main, WING)

if __name__ == "__main__":
    run_command(main)
