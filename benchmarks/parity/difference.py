"""The difference of an array from the reference's, and whether it lies within a tolerance."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.parity.finding import Difference, Tolerance

_BLOCK = 1 << 17  # elements: a few float64 blocks of it stay in the cache


@dataclass(frozen=True)
class Scale:
    """The size of an array's values: the largest, and the root of their mean square."""

    largest: float
    rms: float


def measure_scale(array: np.ndarray) -> Scale:
    """The scale of the array's finite values; an array of zeros counts as one of ones, as nothing is relative to 0."""
    array, largest, squares = np.asarray(array), 0.0, 0.0
    for (block,) in _blocks(array):
        finite = block[np.isfinite(block)]
        largest = max(largest, float(np.max(np.abs(finite), initial=0.0)))
        squares += float(finite @ finite)
    return Scale(largest, math.sqrt(squares / array.size)) if largest else Scale(1.0, 1.0)


def difference(reference: np.ndarray, other: np.ndarray, tolerance: float, scale: Scale | None = None) -> Difference:
    """The difference of `other` from `reference`, of the same shape; `tolerance` is that of `largest`.

    scale: what the difference is relative to; the reference's own scale where none is given.
    A value that is not finite, on either side, makes `largest` and `frobenius` infinite and `cosine` NaN, which holds
    in no tolerance.
    """
    reference, other = np.asarray(reference), np.asarray(other)
    if reference.shape != other.shape:
        raise ValueError(f"has shape {other.shape} where the reference has {reference.shape}")
    if reference.size == 0:
        return Difference(largest=0.0, frobenius=0.0, cosine=1.0, within=1.0)
    scale = scale or measure_scale(reference)
    largest = squares = dot = of_reference = of_other = 0.0
    near, finite = 0, True
    for block, others in _blocks(reference, other):
        distance = _finite_distance(block, others)
        largest = max(largest, float(distance.max()))
        near += int(np.count_nonzero(distance <= tolerance * scale.largest))
        finite = finite and math.isfinite(largest)
        if finite:
            squares += float(distance @ distance)
            dot += float(block @ others)
            of_reference += float(block @ block)
            of_other += float(others @ others)
    within = near / reference.size
    if not finite:
        return Difference(largest=math.inf, frobenius=math.inf, cosine=math.nan, within=within)
    frobenius = math.sqrt(squares / reference.size) / scale.rms
    return Difference(largest / scale.largest, frobenius, _cosine(dot, of_reference, of_other), within)


def holds(difference: Difference, tolerance: Tolerance) -> bool:
    """Whether a difference lies within a tolerance; what is not finite never does."""
    return (
        math.isfinite(difference.largest)
        and math.isfinite(difference.frobenius)
        and difference.largest <= tolerance.largest
        and difference.frobenius <= tolerance.frobenius
    )


def _blocks(*arrays: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """The arrays' elements in step, some at a time, as (n,) float64."""
    flat = [array.reshape(-1) for array in arrays]
    for start in range(0, flat[0].size, _BLOCK):
        yield tuple(array[start : start + _BLOCK].astype(np.float64) for array in flat)


def _finite_distance(reference: np.ndarray, other: np.ndarray) -> np.ndarray:
    """|other - reference|, infinite where either is not finite: two infinities of one sign do not agree either."""
    with np.errstate(invalid="ignore", over="ignore"):
        distance = np.abs(other - reference)
    distance[~np.isfinite(distance)] = math.inf
    return distance


def _cosine(dot: float, of_reference: float, of_other: float) -> float:
    """1 between two arrays of zeros, 0 between one of them and any other."""
    if of_reference == 0.0 or of_other == 0.0:
        return 1.0 if of_reference == of_other else 0.0
    return max(-1.0, min(1.0, dot / math.sqrt(of_reference) / math.sqrt(of_other)))
