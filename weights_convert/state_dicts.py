"""An original's state dict written down as a list: each array's name there, its canonical name and its shape."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

from common.errors import UserError
from common.weights import check_fit, differences

Weights = dict[str, np.ndarray]
Shapes = Mapping[str, tuple[int, ...]]


class Entry(NamedTuple):
    """One array of the original's state dict; `canonical` is None for what the canonical form does not have."""

    original: str
    canonical: str | None
    shape: tuple[int, ...]


def conv(original: str, canonical: str, out: int, into: int, kernel: int, bias: bool = True) -> list[Entry]:
    entries = [Entry(f"{original}.weight", f"{canonical}.weight", (out, into, kernel, kernel))]
    return [*entries, Entry(f"{original}.bias", f"{canonical}.bias", (out,))] if bias else entries


def linear(original: str, canonical: str, out: int, into: int) -> list[Entry]:
    return [
        Entry(f"{original}.weight", f"{canonical}.weight", (out, into)),
        Entry(f"{original}.bias", f"{canonical}.bias", (out,)),
    ]


def norm(original: str, canonical: str, channels: int) -> list[Entry]:
    leaves = ("weight", "bias", "running_mean", "running_var")
    return [Entry(f"{original}.{leaf}", f"{canonical}.{leaf}", (channels,)) for leaf in leaves]


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
    weights: Mapping[str, np.ndarray], shapes: Shapes, origin: str, heads: tuple[str, ...], dispensable: Collection[str]
) -> tuple[Weights, list[str]]:
    """The weights that training can start from, and the names it must do without: heads of another size.

    `heads` is how the names of those begin whose size follows from the classes. Whatever else is missing and not
    `dispensable`, left over or of another shape is refused.
    """
    skipped = [
        name
        for name, array in weights.items()
        if name in shapes and name.startswith(heads) and array.shape != tuple(shapes[name])
    ]
    kept = {name: array for name, array in weights.items() if name not in skipped}
    optional = {*skipped, *dispensable}
    check_fit(kept, {name: s for name, s in shapes.items() if name in kept or name not in optional}, origin)
    return kept, skipped


def without_prefix(source: Mapping[str, np.ndarray]) -> Weights:
    """Drops the `module.` that a network trained on several GPUs has before all of its names."""
    if not all(name.startswith("module.") for name in source):
        return dict(source)
    return {name.removeprefix("module."): array for name, array in source.items()}
