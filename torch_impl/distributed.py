"""Several processes that share one batch, started by `torchrun --nproc_per_node=N -m torch_impl.train ...`."""

import os

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
