"""Finds norms that one file has with their statistics, and that the other has folded into fewer arrays.

A norm computes (x - mean) / sqrt(variance + epsilon) * weight + bias, which is x * scale + shift with
scale = weight / sqrt(variance + epsilon) and shift = bias - mean * scale. Both stand in a norm without statistics, or
in the weight and bias of the convolution before it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.foreign.weights.files import WeightsFile
from benchmarks.foreign.weights.found import Found
from benchmarks.foreign.weights.names import layer_of, leaf_of
from benchmarks.foreign.weights.search import Search

_EPSILONS = (1e-5, 1e-3, 1e-6, 1e-4, 1e-2, 0.0)
_ALLOWED = 1e-5  # of the largest number; the folding's own rounding is a tenth of it
Norm = tuple[str, str, str, str]  # the names of its weight, bias, running mean and variance
_LEAVES = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class Folded:
    """The arrays of a norm, and of the convolution before it if it went into that, and those that stand for them."""

    whole: tuple[str, ...]
    folded: tuple[str, ...]
    words: str


@dataclass(frozen=True)
class _Shift:
    """An array that is a norm's shift: how far it is from it, its name, the norm's scale and epsilon.

    before: the bias of the convolution before the norm, if it has one.
    """

    error: float
    name: str
    scale: np.ndarray
    epsilon: float
    before: str | None


def pair_folded(search: Search) -> None:
    """Pairs norms and convolutions of either file with what the other has folded them into."""
    for found in _find_folded(search.ours, search.left, search.theirs, search.right):
        if set(found.whole) <= set(search.left) and set(found.folded) <= set(search.right):
            search.add(Found(found.whole, found.folded, "content", "equal in another form", found.words))
    for found in _find_folded(search.theirs, search.right, search.ours, search.left):
        if set(found.whole) <= set(search.right) and set(found.folded) <= set(search.left):
            search.add(Found(found.folded, found.whole, "content", "equal in another form", f"un{found.words}"))


def _find_folded(
    wholes: WeightsFile, whole_names: list[str], folded: WeightsFile, folded_names: list[str]
) -> Iterator[Folded]:
    """The norms of one file, in its order, that the other has folded."""
    norms = _norms(whole_names)
    of_norms = {name for norm in norms for name in norm}
    others, candidates = _biases(wholes, [n for n in whole_names if n not in of_norms]), _biases(folded, folded_names)
    beside = {(layer_of(name), leaf_of(name)): name for name in folded_names}
    for norm in norms:
        size = wholes.arrays[norm[0]].size
        if size not in candidates:
            continue
        shift = _find_shift(wholes, norm, folded, candidates[size], others.get(size, []))
        weight = beside.get((layer_of(shift.name), "weight")) if shift else None
        if shift is None or weight is None:
            continue
        words = f"folded: a norm with epsilon {shift.epsilon:g}"
        if folded.arrays[weight].ndim == 1:
            if shift.before is None and _is_near(shift.scale, folded.numbers(weight)):
                statistics = [beside.get((layer_of(shift.name), leaf)) for leaf in _LEAVES[2:]]
                yield Folded(norm, (weight, shift.name, *(name for name in statistics if name)), words)
            continue
        convolution = _find_convolution(wholes, whole_names, shift.scale, folded.numbers(weight))
        if convolution is not None:
            whole = tuple(name for name in (convolution, shift.before, *norm) if name)
            yield Folded(whole, (weight, shift.name), f"{words}, into its convolution")


def _biases(file: WeightsFile, names: list[str]) -> dict[int, list[str]]:
    """The biases by their sizes."""
    biases: dict[int, list[str]] = {}
    for name in names:
        if file.arrays[name].ndim == 1 and file.arrays[name].size and leaf_of(name) == "bias":
            biases.setdefault(file.arrays[name].size, []).append(name)
    return biases


def _norms(names: list[str]) -> list[Norm]:
    """The arrays of each norm that has all four: weight, bias, mean, variance."""
    layers: dict[str, dict[str, str]] = {}
    for name in names:
        layers.setdefault(layer_of(name), {})[leaf_of(name)] = name
    return [tuple(each[leaf] for leaf in _LEAVES) for each in layers.values() if set(_LEAVES) <= set(each)]


def _find_shift(
    wholes: WeightsFile, norm: Norm, folded: WeightsFile, candidates: list[str], biases: list[str]
) -> _Shift | None:
    """The candidate that comes nearest to the norm's shift, if it is that but for rounding.

    biases: those of convolutions that may stand before the norm.
    """
    weight, bias, mean, variance = (wholes.numbers(name).astype(np.float64) for name in norm)
    vectors, best = np.stack([folded.numbers(name) for name in candidates]), None
    for epsilon in _EPSILONS:
        with np.errstate(invalid="ignore", divide="ignore"):
            scale = weight / np.sqrt(variance + epsilon)
        for before in (None, *biases):
            moved = mean if before is None else mean - wholes.numbers(before)
            shift = bias - moved * scale
            errors = np.abs(vectors - shift).max(axis=1) / max(float(np.abs(shift).max()), 1e-30)
            nearest = int(np.argmin(errors))
            if errors[nearest] <= _ALLOWED and (best is None or errors[nearest] < best.error):
                best = _Shift(float(errors[nearest]), candidates[nearest], scale, epsilon, before)
    return best


def _find_convolution(wholes: WeightsFile, names: list[str], scale: np.ndarray, product: np.ndarray) -> str | None:
    """The convolution whose output channels times the scale are `product`."""
    by_channel = scale.reshape(-1, *[1] * (product.ndim - 1))
    for name in names:
        if wholes.arrays[name].shape == product.shape and _is_near(by_channel * wholes.numbers(name), product):
            return name
    return None


def _is_near(expected: np.ndarray, found: np.ndarray) -> bool:
    if expected.shape != found.shape:
        return False
    largest = float(np.max(np.abs(expected), initial=0.0))
    return bool(np.max(np.abs(expected - found), initial=0.0) <= _ALLOWED * largest)
