"""The difference of an array from the reference's, and the tolerance for it."""

import math
from collections.abc import Iterator

import numpy as np

from benchmarks.parity.finding import Difference, Tolerance

# Two right float32 implementations differ from one another more than either differs from float64: they sum in another
# order, choose another algorithm (Winograd, FFT, a fused multiply-add), and the error measured is one draw of many.
FACTOR = 16.0

# Where the reference happens to be exact (a copy, a ReLU, a sum of two) the measured error is zero. 64 units in the
# last place of float32 are left for an implementation that rounds on the way: MindSpore's tanh alone takes 27.
FLOOR = 64 * 2.0**-23

_BLOCK = 1 << 17  # elements: a few float64 blocks of it stay in the cache


def difference(reference: np.ndarray, other: np.ndarray, tolerance: float) -> Difference:
    """The difference of `other` from `reference`, of the same shape; `tolerance` is that of `largest`.

    A reference that is zero everywhere counts as one of ones: there is nothing else to be relative to. A value that is
    not finite, on either side, makes `largest` and `frobenius` infinite and `cosine` NaN, which holds in no tolerance.
    """
    reference, other = np.asarray(reference), np.asarray(other)
    if reference.shape != other.shape:
        raise ValueError(f"has shape {other.shape} where the reference has {reference.shape}")
    if reference.size == 0:
        return Difference(largest=0.0, frobenius=0.0, cosine=1.0, within=1.0)
    scale = max(float(np.max(np.abs(block), where=np.isfinite(block), initial=0.0)) for (block,) in _blocks(reference))
    scale = scale or 1.0
    largest = squares = dot = of_reference = of_other = 0.0
    near, finite = 0, True
    for block, others in _blocks(reference, other):
        distance = _finite_distance(block, others)
        largest = max(largest, float(distance.max()))
        near += int(np.count_nonzero(distance <= tolerance * scale))
        finite = finite and math.isfinite(largest)
        if finite:
            squares += float(distance @ distance)
            dot += float(block @ others)
            of_reference += float(block @ block)
            of_other += float(others @ others)
    within = near / reference.size
    if not finite:
        return Difference(largest=math.inf, frobenius=math.inf, cosine=math.nan, within=within)
    norm = math.sqrt(of_reference) or math.sqrt(reference.size)
    cosine = _cosine(dot, of_reference, of_other)
    return Difference(largest / scale, math.sqrt(squares) / norm, cosine, within)


def holds(difference: Difference, tolerance: Tolerance) -> bool:
    """Whether a difference lies within a tolerance; what is not finite never does."""
    return (
        math.isfinite(difference.largest)
        and math.isfinite(difference.frobenius)
        and difference.largest <= tolerance.largest
        and difference.frobenius <= tolerance.frobenius
    )


def tolerance(measured: Difference, factor: float = FACTOR, floor: float = FLOOR) -> Tolerance:
    """The tolerance that follows from the reference's own error, `difference(in float32, in float64, 0)`.

    It is relative to the float32 run because whatever is held against the tolerance is, too. The two scales part where
    the exact value is zero, as the gradient of a bias in front of a BatchNorm is: float32 then holds rounding alone.
    A measurement that is not finite allows the floor.
    """

    def allowed(error: float) -> float:
        return max(factor * error, floor) if math.isfinite(error) else floor

    return Tolerance(measured.largest, measured.frobenius, allowed(measured.largest), allowed(measured.frobenius))


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
