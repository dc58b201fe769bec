"""Several processes that share one batch, started by `mpirun -np N python -m jittor_impl.train ...`."""

from math import prod

import jittor as jt
from jittor import Var


def start() -> tuple[int, int]:
    """(rank, world) of this process; joins the others when a launcher started several."""
    return jt.rank, jt.world_size


def sum_over_ranks(arrays: list[Var]) -> list[Var]:
    """Each array summed over all processes, in one message."""
    if not arrays or not jt.in_mpi:
        return arrays
    sizes = [prod(array.shape) for array in arrays]
    flat = jt.concat([array.reshape((-1,)) for array in arrays]).mpi_all_reduce("add")
    parts = flat.split(sizes)
    return [part.reshape(array.shape) for part, array in zip(parts, arrays, strict=True)]
