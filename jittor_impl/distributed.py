"""Several processes that share one batch, started by `mpirun -np N python -m jittor_impl.train ...`."""

from math import prod

import jittor as jt
from jittor import Var

from jittor_impl._code_ops import Differentiable


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


def sum_with_gradient(x: Var) -> Var:
    """An array of each process summed over all of them; the gradient of each is the sum of all processes', too."""
    return Differentiable(_sum_now, lambda gradient, output: _sum_now(gradient))(x)


def _sum_now(x: Var) -> Var:
    total = sum_over_ranks([x])[0]
    # Jittor runs later, in an order of its own, what is not waited for; the processes' messages come in the same order.
    total.sync()
    return total
