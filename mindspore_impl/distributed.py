"""Several processes that share one batch, started by `msrun --worker_num=N python -m mindspore_impl.train ...`."""

import os

from mindspore import Tensor, nn
from mindspore import ops as F
from mindspore.communication import get_group_size, get_rank, init

# One message of 100 MB failed without an error; pieces of this many numbers pass.
_PIECE = 1 << 22

_ranks: tuple[int, int] | None = None


def start() -> tuple[int, int]:
    """(rank, world) of this process; joins the others when a launcher started several."""
    global _ranks
    if _ranks is None:
        _ranks = (0, 1)
        if int(os.environ.get("MS_WORKER_NUM", "1")) > 1:
            init()
            _ranks = (get_rank(), get_group_size())
    return _ranks


def sum_over_ranks(arrays: list[Tensor]) -> list[Tensor]:
    """Each array summed over all processes, in few messages."""
    if not arrays or start()[1] == 1:
        return arrays
    flat = F.cat([array.reshape(-1) for array in arrays])
    reduce = F.AllReduce()
    flat = F.cat([reduce(flat[begin : begin + _PIECE]) for begin in range(0, flat.size, _PIECE)])
    parts, end = [], 0
    for array in arrays:
        begin, end = end, end + array.size
        parts.append(flat[begin:end].reshape(array.shape))
    return parts


def sum_with_gradient(x: Tensor) -> Tensor:
    """An array of each process summed over all of them; the gradient of each is the sum of all processes', too."""
    return _Sum()(x)


class _Sum(nn.Cell):
    def construct(self, x):
        return sum_over_ranks([x])[0]

    def bprop(self, x, out, gradient):
        return (sum_over_ranks([gradient])[0],)
