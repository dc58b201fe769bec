"""Several processes that share one batch, started by `torchrun --nproc_per_node=N -m torch_impl.train ...`."""

import os
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def start() -> tuple[int, int]:
    """(rank, world) of this process; joins the others when a launcher started several."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return (dist.get_rank(), world) if world > 1 else (0, 1)


def sum_over_ranks(arrays: list[Tensor]) -> list[Tensor]:
    """Each array summed over all processes, in one message."""
    if not arrays or not dist.is_initialized():
        return arrays
    flat = torch.cat([array.reshape(-1) for array in arrays])
    dist.all_reduce(flat)
    parts = flat.split([array.numel() for array in arrays])
    return [part.reshape(array.shape) for part, array in zip(parts, arrays, strict=True)]


def sum_with_gradient(x: Tensor) -> Tensor:
    """An array of each process summed over all of them; the gradient of each is the sum of all processes', too."""
    return _Sum.apply(x)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return sum_over_ranks([x])[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return sum_over_ranks([gradient])[0]
