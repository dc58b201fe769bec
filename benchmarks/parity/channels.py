"""An array's channels: by themselves, matched with those of another array, and fitted to them by a few numbers each."""

import numpy as np

# The distances of every pair are computed; more are matched by their order in a projection.
MOST_MATCHED_CHANNELS = 1024


def channel_axes(array: np.ndarray) -> tuple[int, ...]:
    """The axes along which channels are looked for: `(N, C, ...)`, and of `(N, P, 4)` the columns too."""
    return {0: (), 1: (), 3: (1, 2)}.get(array.ndim, (1,))


def channels_of(array: np.ndarray, axis: int) -> np.ndarray:
    """(before, channels, after), a view where the array's layout allows it."""
    before = int(np.prod(array.shape[:axis]))
    return array.reshape(before, array.shape[axis], -1)


def rows_of(array: np.ndarray, axis: int) -> np.ndarray:
    """(channels, values of each)"""
    return np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)


def match_rows(reference: np.ndarray, other: np.ndarray) -> np.ndarray | None:
    """The row of the reference that each row of `other` is, none of them twice; None where rows are too short."""
    count, length = reference.shape
    if count < 2 or length < 2:
        return None
    # Among `count` points in fewer dimensions, one is near any other point.
    if count > MOST_MATCHED_CHANNELS or length < 2 * np.log2(count):
        direction = np.random.default_rng(0).normal(size=length)
        order = np.empty(count, np.int64)
        order[np.argsort(other @ direction, kind="stable")] = np.argsort(reference @ direction, kind="stable")
        return order
    squares = (reference * reference).sum(axis=1)
    distance = squares - 2.0 * (other @ reference.T)  # less the other's own square, which is the same along a row
    own = distance.diagonal()
    # Rows that equal one another, as dead channels do, stay where they are.
    stays = own <= distance.min(axis=1) + 1e-9 * squares.max()
    order = np.where(stays, np.arange(count), -1)
    distance[:, stays] = np.inf
    for row in np.flatnonzero(~stays):
        order[row] = int(distance[row].argmin())
        distance[:, order[row]] = np.inf
    return order


def fit_scales(reference: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The scale of each channel that brings (before, C, after) nearest to the other: (C,)."""
    return _ratio((reference * other).sum(axis=(0, 2)), (reference * reference).sum(axis=(0, 2)))


def fit_lines(reference: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The scale and shift of each channel that bring (before, C, after) nearest to the other: (C,), (C,)."""
    mean, other_mean = reference.mean(axis=(0, 2)), other.mean(axis=(0, 2))
    centred = reference - mean[:, None]
    scale = _ratio((centred * other).sum(axis=(0, 2)), (centred * centred).sum(axis=(0, 2)))
    return scale, other_mean - scale * mean


def remaining_energy(
    reference: np.ndarray, other: np.ndarray, scale: np.ndarray | float, shift: np.ndarray | float
) -> float:
    """The energy of the difference (before, C, after) once each channel's scale and shift are accounted for."""
    return energy(other - (reference * np.reshape(scale, (-1, 1)) + np.reshape(shift, (-1, 1))))


def energy(array: np.ndarray) -> float:
    """The sum of the squares."""
    return float(np.vdot(array, array))


def _ratio(dividend: np.ndarray, divisor: np.ndarray) -> np.ndarray:
    """1 where the divisor is 0: what has no extent is not scaled."""
    return np.divide(dividend, divisor, out=np.ones_like(dividend), where=divisor > 0.0)
