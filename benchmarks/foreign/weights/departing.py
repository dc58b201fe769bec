"""How an array that is not the reference's departs from it."""

import math
from typing import Any

import numpy as np

from benchmarks.foreign.weights.fingerprints import slice_fingerprints
from benchmarks.foreign.weights.rearranging import fitting_axes
from benchmarks.parity.difference import difference
from benchmarks.parity.pattern import pattern

_ROUNDING = 4 * float(np.finfo(np.float32).eps)  # of the largest number: what a detour through other formulae costs
_UNRELATED = 0.1  # a smaller cosine is chance
_CHANCE = 2.0  # and so is one that is smaller than this divided by the root of the number of numbers
_MANY = 64  # numbers, of which that holds
_MOST_SEARCHED = 1 << 16  # numbers, of the first rows that differ, in which a pattern is looked for


def is_rounding(reference: np.ndarray, other: np.ndarray) -> float | None:
    """The largest difference, relative to the largest number, of arrays that differ by rounding alone; else None."""
    if reference.shape != other.shape:
        return None
    largest = float(np.max(np.abs(reference), initial=0.0))
    distance = float(np.max(np.abs(reference - other), initial=0.0))
    return distance / largest if distance <= _ROUNDING * largest and largest else None


def brought(reference: np.ndarray, other: np.ndarray) -> np.ndarray | None:
    """`other` in the reference's shape: as it is, without unit axes, or with its axes exchanged; None if none fits.

    Of several ways to exchange the axes it is the one that leaves it most alike.
    """
    ours, theirs = np.squeeze(reference), np.squeeze(other)
    ways = [theirs.transpose(axes) for axes in fitting_axes(ours.shape, theirs.shape)]
    if not ways:
        return None
    best = max(ways, key=lambda way: float(np.vdot(ours, way))) if len(ways) > 1 else ways[0]
    return best.reshape(reference.shape)


def describe_departure(reference: np.ndarray, other: np.ndarray) -> dict[str, Any]:
    """The pattern, largest difference and cosine of two arrays of one shape, as `Found` has them."""
    found = difference(reference, other, 0.0)
    facts = {"largest": found.largest, "cosine": found.cosine}
    chance = max(_UNRELATED, _CHANCE / math.sqrt(max(reference.size, 1)))
    if reference.size >= _MANY and abs(found.cosine) < chance and np.ptp(other):
        return {"pattern": "unrelated", "detail": "it has nothing in common with the reference's", **facts}
    reference, other = np.atleast_1d(reference), np.atleast_1d(other)
    rows = np.flatnonzero(np.any((reference != other).reshape(len(reference), -1), axis=1))
    some = rows[: max(1, _MOST_SEARCHED * len(reference) // reference.size)]
    explained = pattern(reference[some], other[some])
    detail = _worst(reference, other) if explained.name == "noise" else explained.detail
    if 2 * len(rows) < len(reference):
        detail = "; ".join(filter(None, [detail, f"in {len(rows)} of {len(reference)} rows"]))
    return {"pattern": explained.name, "detail": detail, **facts}


def describe_shape(reference: np.ndarray, other: np.ndarray) -> str:
    """The two shapes, and how many rows the arrays have in common, as heads of other classes may."""
    text = f"{other.shape}, where the reference has {reference.shape}"
    if reference.ndim < 2 or reference.shape[1:] != other.shape[1:]:
        return text
    rows = [slice_fingerprints(array)[0] for array in (reference, other)]
    common = np.count_nonzero(np.isin(rows[1], rows[0]))
    return f"{text}; {common} of its {len(other)} rows are the reference's" if common else text


def _worst(reference: np.ndarray, other: np.ndarray) -> str:
    """The place of the largest difference."""
    place = np.unravel_index(np.argmax(np.abs(other - reference)), reference.shape)
    share = np.count_nonzero(reference != other) / reference.size
    at = ", ".join(map(str, place))
    return f"{share:.0%} of the numbers differ, most at ({at}): {other[place]:.6g} instead of {reference[place]:.6g}"
