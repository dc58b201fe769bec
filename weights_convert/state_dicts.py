"""A state dict written down as a list: the name of each array in the file, its canonical name and its shape."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Literal, NamedTuple

import numpy as np

from common.errors import UserError
from common.weights import check_fit, differences

Weights = dict[str, np.ndarray]
Shapes = Mapping[str, tuple[int, ...]]

# PyTorch's count of the batches that a norm has seen, which the canonical form leaves out.
COUNTER = "num_batches_tracked"


# How an array stands in a file, where it is not as the canonical one.
Stored = Literal["alike", "transposed", "with one axis more", "unfolded"]
# Which of four tokens' channels stands where in `unfolded` ones; exchanging twice gives the first order again.
_EXCHANGED = (0, 2, 1, 3)


class Entry(NamedTuple):
    """One array of an upstream's state dict.

    canonical: its canonical name; None for an array that the canonical form does not have, which a file may lack.
    shape: the canonical array's. written: what is written for an array that the canonical form does not have: its
    numbers, or the canonical name of the array that it repeats. stored: how the file's array differs from the canonical
    one: it is a matrix with its axes exchanged; has an axis of length 1 more at its end; or its last axis, the channels
    of 2x2 tokens, goes channel by channel and row by row, where the canonical one goes token by token, column by
    column.
    """

    original: str
    canonical: str | None
    shape: tuple[int, ...]
    written: np.ndarray | str | None = None
    stored: Stored = "alike"

    @property
    def file_shape(self) -> tuple[int, ...]:
        """The shape of the array in the file."""
        return self.to_file(np.broadcast_to(False, self.shape)).shape

    def to_canonical(self, array: np.ndarray) -> np.ndarray:
        """The canonical form of the file's array."""
        if self.stored == "transposed":
            return array.T
        if self.stored == "unfolded":
            tokens = array.reshape(*array.shape[:-1], -1, 4)[..., _EXCHANGED]
            return np.ascontiguousarray(tokens.swapaxes(-1, -2)).reshape(array.shape)
        return array[..., 0] if self.stored == "with one axis more" else array

    def to_file(self, array: np.ndarray) -> np.ndarray:
        """The file's form of the canonical array."""
        if self.stored == "transposed":
            return array.T
        if self.stored == "unfolded":
            tokens = array.reshape(*array.shape[:-1], 4, -1)[..., _EXCHANGED, :]
            return np.ascontiguousarray(tokens.swapaxes(-1, -2)).reshape(array.shape)
        return array[..., None] if self.stored == "with one axis more" else array


def conv(original: str, canonical: str, out: int, into: int, kernel: int, bias: bool = True) -> list[Entry]:
    """The arrays of a convolution from `into` to `out` channels."""
    entries = [Entry(f"{original}.weight", f"{canonical}.weight", (out, into, kernel, kernel))]
    return [*entries, Entry(f"{original}.bias", f"{canonical}.bias", (out,))] if bias else entries


def linear(original: str, canonical: str, out: int, into: int) -> list[Entry]:
    """The arrays of a linear layer from `into` to `out` numbers."""
    return [
        Entry(f"{original}.weight", f"{canonical}.weight", (out, into)),
        Entry(f"{original}.bias", f"{canonical}.bias", (out,)),
    ]


def norm(original: str, canonical: str, channels: int, counter: bool = False) -> list[Entry]:
    """The arrays of a batch norm, and PyTorch's counter behind them if the file has it."""
    leaves = ("weight", "bias", "running_mean", "running_var")
    entries = [Entry(f"{original}.{leaf}", f"{canonical}.{leaf}", (channels,)) for leaf in leaves]
    return [*entries, Entry(f"{original}.{COUNTER}", None, (), np.zeros((), np.int64))] if counter else entries


def shapes_of(entries: Iterable[Entry]) -> dict[str, tuple[int, ...]]:
    """The shapes of a state dict's arrays by canonical name, in the state dict's order."""
    return {entry.canonical: entry.shape for entry in entries if entry.canonical}


def read(
    source: Mapping[str, np.ndarray],
    entries: Collection[Entry],
    is_head: Callable[[str], bool],
    model: str,
    origin: str,
) -> Weights:
    """A state dict's arrays under canonical names; every name must be known and every one used.

    Arrays whose canonical name `is_head` may have any shape: another number of classes.
    """
    resized = {e.original for e in entries if e.canonical and is_head(e.canonical)}
    dispensable = {e.original for e in entries if not e.canonical}
    shapes = {e.original: e.file_shape for e in entries}
    check(source, shapes, model, origin, any_shape=resized, optional=dispensable)
    return {e.canonical: e.to_canonical(source[e.original]) for e in entries if e.canonical}


def write(weights: Mapping[str, np.ndarray], entries: Collection[Entry], model: str, origin: str) -> Weights:
    """Canonical weights as a state dict, in the order of `entries`."""
    check(weights, shapes_of(entries), model, origin)
    return {entry.original: _written(entry, weights) for entry in entries}


def renamed(source: Mapping[str, np.ndarray], current_name: Callable[[str], str], origin: str) -> Weights:
    """A state dict whose older names are brought up to date; an array under both of its names is refused."""
    arrays = {}
    for name, array in source.items():
        new = current_name(name)
        if new in arrays:
            raise UserError(f"{origin}: it holds {new} twice, under its old name too")
        arrays[new] = array
    return arrays


def without(source: Mapping[str, np.ndarray], pattern: str) -> Weights:
    """A state dict without the arrays whose whole name fits a regular expression."""
    return {name: array for name, array in source.items() if not re.fullmatch(pattern, name)}


def without_counters(source: Mapping[str, np.ndarray]) -> Weights:
    """A state dict without PyTorch's counters."""
    return {name: array for name, array in source.items() if not name.endswith(f".{COUNTER}")}


def without_prefix(source: Mapping[str, np.ndarray]) -> Weights:
    """A state dict without what stands before all of its names, where a network is a part of another object.

    It is `module.` after training on several GPUs, and `model.` in what a trainer saves that holds the network.
    """
    for prefix in ("module.", "model."):
        if all(name.startswith(prefix) for name in source):
            source = {name.removeprefix(prefix): array for name, array in source.items()}
    return dict(source)


def check(
    arrays: Mapping[str, np.ndarray],
    shapes: Shapes,
    model: str,
    origin: str,
    any_shape: Collection[str] = (),
    optional: Collection[str] = (),
) -> None:
    """Refuses arrays that are not exactly those of `shapes`, by name; `origin` is the file that an error speaks of."""
    wanted = {
        name: arrays[name].shape if name in any_shape and name in arrays else shape
        for name, shape in shapes.items()
        if name in arrays or name not in optional
    }
    faults = differences(arrays, wanted)
    if faults:
        raise UserError(f"{origin}: does not fit {model}: {faults}")


def fit_for_finetuning(
    weights: Mapping[str, np.ndarray],
    shapes: Shapes,
    origin: str,
    is_head: Callable[[str], bool],
    dispensable: Collection[str],
) -> tuple[Weights, list[str]]:
    """The weights that training can start from, and the names it must do without: heads of another size.

    `is_head` tells the names of those whose size follows from the classes. Whatever else is missing and not
    `dispensable`, left over or of another shape is refused.
    """
    skipped = [
        name
        for name, array in weights.items()
        if name in shapes and is_head(name) and array.shape != tuple(shapes[name])
    ]
    kept = {name: array for name, array in weights.items() if name not in skipped}
    optional = {*skipped, *dispensable}
    check_fit(kept, {name: s for name, s in shapes.items() if name in kept or name not in optional}, origin)
    return kept, skipped


def _written(entry: Entry, weights: Mapping[str, np.ndarray]) -> np.ndarray:
    if entry.canonical:
        return entry.to_file(weights[entry.canonical])
    return weights[entry.written] if isinstance(entry.written, str) else entry.written
