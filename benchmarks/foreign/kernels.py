"""Kernels that a port keeps with other axes first: TensorFlow's (h, w, in, out) for PyTorch's (out, in, h, w).

Matrices are (in, out) there, and kernels of one and three dimensions are alike. The shape alone tells little, and one
kernel that is turned is a fault. So the numbers have to tell that the port keeps all kernels of a rank so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.foreign.arrays import NamedArrays
from benchmarks.foreign.content import EQUAL, sampled_positions
from benchmarks.foreign.reshaping import Form
from benchmarks.foreign.rules import Rules

_WORDS = {2: "matrices kept as (in, out)", 4: "kernels kept as (h, w, in, out)"}
_RANKS = (2, 3, 4, 5)


@dataclass(frozen=True)
class Turned:
    """The port's arrays, with their kernels turned to the reference's order. orders: of the axes of those turned."""

    arrays: NamedArrays
    orders: Mapping[str, tuple[int, ...]]

    def recipe(self, found: Form, names: Sequence[str]) -> Form:
        """The recipe that brings the port's own arrays to the reference's shape; found: that of the arrays turned."""
        order = self.orders.get(names[0]) if names else None
        if order is None:
            return found
        words = [_WORDS.get(len(order), "kernels kept with their channels last"), found.words]
        return replace(found, words=", ".join(filter(None, words)), turned=order)


def turn_kernels(ours: NamedArrays, theirs: NamedArrays, rules: Rules) -> Turned:
    """The port's arrays, those of a rank turned where the numbers tell that it keeps these so.

    They do where arrays hold the reference's numbers when they are turned, and none does as it stands. An array for
    which a rule gives an axis or an order is left as it is.
    """
    ruled = {
        name
        for each in rules.apply(ours.names, theirs.names)
        if (each.shaping.axis, each.shaping.permute, each.shaping.reshape) != (None, None, None)
        for name in each.theirs
    }
    free = [name for name in theirs.names if name not in ruled]
    by_shape: dict[tuple[int, ...], list[str]] = {}
    for name, shape in ours.shapes.items():
        by_shape.setdefault(tuple(shape), []).append(name)
    orders = {}
    for rank in _RANKS:
        order = (rank - 1, rank - 2, *range(rank - 2))
        names = [name for name in free if len(theirs.shapes[name]) == rank]
        names = [name for name in names if _turned_shape(theirs.shapes[name], order) in by_shape]
        if _are_kept_so(ours, theirs, names, order, by_shape):
            orders |= dict.fromkeys(names, order)
    if not orders:
        return Turned(theirs, orders)
    shapes = dict(theirs.shapes) | {name: _turned_shape(theirs.shapes[name], orders[name]) for name in orders}

    def read(name: str) -> np.ndarray:
        array = theirs.array(name)
        return array.transpose(orders[name]) if name in orders else array

    return Turned(NamedArrays(theirs.source, shapes, read, theirs.kinds), orders)


def _are_kept_so(
    ours: NamedArrays,
    theirs: NamedArrays,
    names: Sequence[str],
    order: tuple[int, ...],
    by_shape: Mapping[tuple[int, ...], list[str]],
) -> bool:
    """Whether some of the arrays are the reference's when their axes are put in this order, and none as it stands.

    A square, which may be turned by mistake, counts only as it stands. by_shape: the reference's names.
    """
    samples: dict[str, np.ndarray] = {}

    def is_one_of(array: np.ndarray) -> bool:
        sample, others = _sample(array), by_shape.get(array.shape, [])
        for name in others:
            if name not in samples:
                samples[name] = _sample(ours.array(name))
        return any(_are_equal(samples[name], sample) for name in others)

    found = False
    for array in map(theirs.array, names):
        if is_one_of(array):
            return False
        turned = array.transpose(order)
        found = found or (turned.shape != array.shape and is_one_of(turned))
    return found


def _turned_shape(shape: tuple[int, ...], order: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(shape[axis] for axis in order)


def _sample(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1)[sampled_positions(array.size)].astype(np.float64)


def _are_equal(reference: np.ndarray, other: np.ndarray) -> bool:
    """Whether two samples hold the same numbers, and these are not all one."""
    is_telling = reference.size > 1 and np.ptp(reference) > 0
    return bool(is_telling and np.linalg.norm(other - reference) <= EQUAL * np.linalg.norm(reference))
