"""`python -m torch_impl.predict`: see `--help`."""

from functools import partial

from common.commands import predict
from common.errors import run_command
from torch_impl.wing import WING

main = partial(predict.main, WING)

if __name__ == "__main__":
    run_command(main)
