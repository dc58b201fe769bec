"""In what form an array has the reference's numbers: another shape, its axes exchanged, entries in another order."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from benchmarks.foreign.weights.fingerprints import slice_fingerprints
from benchmarks.foreign.weights.orders import Order, describe_order

_NOT_TURNED = Order("its numbers were put into another shape, where its axes should have been exchanged", False)


@dataclass(frozen=True)
class Form:
    """What must be done to an array so that it is the reference's.

    shaping: how the two shapes differ, in words; "" for one shape. axes: for each of the reference's axes the other
    array's, where they are exchanged. orders: those of the axes whose entries stand in another order.
    """

    shaping: str = ""
    axes: tuple[int, ...] = ()
    orders: tuple[Order, ...] = field(default=())

    @property
    def words(self) -> str:
        parts = [self.shaping, _describe_axes(self.axes), *(order.words for order in self.orders)]
        return "; ".join(part for part in parts if part)

    @property
    def conditions(self) -> tuple[str, ...]:
        """What the network that reads the array must do."""
        return tuple(order.condition for order in self.orders if order.condition)

    @property
    def is_error(self) -> bool:
        """Whether no format explains the form."""
        return not all(order.is_convention for order in self.orders)


def find_form(reference: np.ndarray, other: np.ndarray) -> Form | None:
    """The form in which `other` has the numbers of `reference`; None where it has other numbers."""
    if reference.size != other.size:
        return None
    if np.array_equal(reference.reshape(-1), other.reshape(-1)):
        shaping = describe_shapes(reference.shape, other.shape)
        return Form(shaping, orders=(_NOT_TURNED,) if _should_be_turned(reference, other) else ())
    for ours, theirs, shaping in _in_one_rank(reference, other):
        found = _turned(ours, theirs)
        if found is not None:
            return Form(shaping, *found)
    return None


def describe_shapes(reference: tuple[int, ...], other: tuple[int, ...]) -> str:
    """How an array's shape differs from the reference's, in words; "" where it does not."""
    if reference == other:
        return ""
    same = [size for size in reference if size != 1] == [size for size in other if size != 1]
    return f"{_shape(other)} for {_shape(reference)}" + (", unit axes" if same else "")


def fitting_axes(shape: tuple[int, ...], other: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The orders of the axes of an array that give it the first shape; the axes as they are come first."""
    if sorted(shape) == sorted(other):
        for axes in itertools.permutations(range(len(other))):
            if tuple(other[axis] for axis in axes) == shape:
                yield axes


def _should_be_turned(reference: np.ndarray, other: np.ndarray) -> bool:
    """Whether an array has the reference's axes in another order, so that its numbers should stand in another, too."""
    ours, theirs = np.squeeze(reference).shape, np.squeeze(other).shape
    is_constant = reference.size == 0 or bool(np.all(reference == reference.flat[0]))
    return ours != theirs and sorted(ours) == sorted(theirs) and not is_constant


def _in_one_rank(reference: np.ndarray, other: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, str]]:
    """Both arrays in shapes of equally many axes, and what was done to have them so."""
    ours, theirs = np.squeeze(reference), np.squeeze(other)
    if ours.ndim == theirs.ndim:
        is_alike = sorted(reference.shape) == sorted(other.shape)
        # A convolution keeps its unit axes, so that its axes have their usual names.
        yield (reference, other, "") if is_alike else (ours, theirs, describe_shapes(reference.shape, other.shape))
        return
    rows = reference.shape[0]
    for axis in (axis for axis in range(other.ndim) if other.shape[axis] == rows):
        matrix = np.moveaxis(other, axis, 0).reshape(rows, -1)
        yield reference.reshape(rows, -1), matrix, f"{describe_shapes(reference.shape, other.shape)}, as matrices"


def _turned(reference: np.ndarray, other: np.ndarray) -> tuple[tuple[int, ...], tuple[Order, ...]] | None:
    """The axes and orders by which an array with as many axes becomes the reference; None if nothing does."""
    if reference.ndim == 0:
        return None
    unchanged = tuple(range(reference.ndim))
    possible = list(fitting_axes(reference.shape, other.shape))
    for axes in possible:
        turned = other.transpose(axes)
        if np.array_equal(reference[:1], turned[:1]) and np.array_equal(reference, turned):
            return (axes, ()) if axes != unchanged else ((), ())
    if not possible:
        return None
    ours, theirs = slice_fingerprints(reference), slice_fingerprints(other)
    sorted_ours, sorted_theirs = [np.sort(each) for each in ours], [np.sort(each) for each in theirs]
    fitting = [
        axes
        for axes in possible
        if all(np.array_equal(sorted_ours[place], sorted_theirs[axis]) for place, axis in enumerate(axes))
    ]
    for axes in fitting:
        turned, orders = other.transpose(axes), []
        for place, axis in enumerate(axes):
            if not np.array_equal(ours[place], theirs[axis]):
                order = _order(ours[place], theirs[axis])
                turned = turned.take(order, place)
                orders.append(describe_order(order, place, reference.shape))
        if np.array_equal(reference, turned):
            return (axes if axes != unchanged else (), tuple(orders))
    return None


def _order(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """The places in `theirs` of the values of `ours`; the two have the same values."""
    order = np.empty(len(ours), int)
    order[np.argsort(ours, kind="stable")] = np.argsort(theirs, kind="stable")
    return order


def _describe_axes(axes: tuple[int, ...]) -> str:
    if not axes:
        return ""
    if len(axes) == 2:
        return "transposed"
    letters = {3: "OIL", 4: "OIHW", 5: "OIDHW"}.get(len(axes))
    if letters is None:
        return f"axes in the order {axes}"
    stored = "".join(letters[axes.index(axis)] for axis in range(len(axes)))
    return f"axes stored as {stored}, the reference's as {letters}"


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})"
