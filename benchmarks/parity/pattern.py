"""The pattern in which an array departs from the reference's, found from the two arrays alone."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.parity.channels import (
    channel_axes,
    channels_of,
    energy,
    fit_lines,
    fit_scales,
    match_rows,
    remaining_energy,
    rows_of,
)

# A pattern is accepted when this share of the difference's energy is gone once it is accounted for. A right explanation
# leaves rounding, parts in a million; the rest is for a fault that spoils the border too or that a ReLU has clipped.
EXPLAINED = 0.98

# Values for each number that is fitted to a channel. With fewer, numbers that fit well are found in noise.
FEWEST = 4

BORDER_WIDTHS = (1, 2, 3)
FARTHEST_MOVE = 2
SMALLEST_PICTURE = 8  # pixels of a side, from which on an array has a border and can be moved
LONGEST_PICTURE = 8  # times the other side

PATTERNS = {
    "missing": "one of the two has no such array",
    "another shape": "the arrays have different shapes",
    "trained or not": "one of the two trains it and the other does not",
    "did not move": "it is what it was before the first step",
    "equal": "the arrays do not differ",
    "not finite": "there are NaNs or infinities",
    "all zero": "every value is zero, and the reference's are not",
    "constant": "every value is the same, and the reference's are not",
    "missing ReLU": "clipped at zero, it would be the reference's",
    "added ReLU": "it is the reference's, clipped at zero",
    "transposed": "two axes of equal length have changed places",
    "flipped": "an axis of the picture or kernel runs backwards",
    "channels permuted": "the channels, columns or rows stand in another order",
    "scale": "every value is the reference's times one number",
    "shift": "every value is the reference's plus one number",
    "scale and shift": "every value is the reference's times one number plus another",
    "scale by channel": "each channel is the reference's times a number of its own",
    "shift by channel": "each channel is the reference's plus a number of its own",
    "scale and shift by channel": "each channel is the reference's times one number plus another, both of its own",
    "border": "the difference lies along the border of the picture",
    "moved by whole pixels": "the picture is the reference's, moved",
    "noise": "none of these: values differ without a simple rule",
}


@dataclass(frozen=True)
class Pattern:
    name: str  # one of PATTERNS
    detail: str  # its numbers, in words


@dataclass(frozen=True)
class _Pair:
    """Two arrays of one shape, finite, of float64, that differ."""

    reference: np.ndarray
    other: np.ndarray
    allowed: float  # the energy that an explanation of `other` may leave

    def is_explained(self, prediction: np.ndarray) -> bool:
        return energy(self.other - prediction) <= self.allowed


def pattern(reference: np.ndarray, other: np.ndarray) -> Pattern:
    """The simplest pattern that explains how `other` departs from `reference`, of the same shape.

    One value says little: it is scaled where the reference is not zero, else shifted.
    """
    reference, other = np.asarray(reference, np.float64), np.asarray(other, np.float64)
    if reference.shape != other.shape:
        raise ValueError(f"has shape {other.shape} where the reference has {reference.shape}")
    if (found := _not_finite(reference, other)) is not None:
        return found
    if np.array_equal(reference, other):
        return Pattern("equal", "")
    pair = _Pair(reference, other, (1.0 - EXPLAINED) * _to_explain(reference, other))
    # From the specific to the general; of two explanations the one with fewer numbers comes first.
    for explanation in (
        _constant,
        _relu,
        _transposed,
        _flipped,
        _scale_or_shift,
        _permuted,
        _scale_and_shift,
        _by_channel,
        _border,
        _moved,
        _channels_last,
    ):
        if (found := explanation(pair)) is not None:
            return found
    return Pattern("noise", _worst(pair))


def _to_explain(reference: np.ndarray, other: np.ndarray) -> float:
    """The energy of the difference; or of `other` about its mean, where that is less.

    Without the second, an array unrelated to the reference but far smaller or far off its mean would be scaled or
    shifted: the one number removes most of the difference, and what is left is still all of the array.
    """
    about_mean = max(energy(other - other.mean()), 1e-10 * energy(other))
    return min(energy(other - reference), about_mean)


def _not_finite(reference: np.ndarray, other: np.ndarray) -> Pattern | None:
    for array, whose in ((other, ""), (reference, " of the reference")):
        bad = ~np.isfinite(array)
        if bad.any():
            nans = int(np.isnan(array).sum())
            counts = f"{nans} NaN and {int(bad.sum()) - nans} infinite of {array.size}{whose}"
            return Pattern("not finite", f"{counts}, the first at {_position(int(bad.argmax()), array)}")
    return None


def _constant(pair: _Pair) -> Pattern | None:
    if not pair.other.any():
        return Pattern("all zero", f"the reference reaches {np.abs(pair.reference).max():.3g}")
    if np.ptp(pair.other) > 0.0 or np.ptp(pair.reference) == 0.0:
        return None
    least, most = pair.reference.min(), pair.reference.max()
    return Pattern("constant", f"{pair.other.flat[0]:.6g}; the reference has {least:.3g} to {most:.3g}")


def _relu(pair: _Pair) -> Pattern | None:
    reference, other = pair.reference, pair.other
    if other.size < FEWEST:
        return None
    if reference.min() >= 0.0 > other.min():
        # The reference is what has to be explained here.
        allowed = (1.0 - EXPLAINED) * _to_explain(other, reference)
        if energy(np.maximum(other, 0.0) - reference) <= allowed:
            return Pattern("missing ReLU", f"{np.mean(other < 0.0):.0%} of the values are negative")
    if reference.min() < 0.0 <= other.min() and pair.is_explained(np.maximum(reference, 0.0)):
        return Pattern("added ReLU", f"{np.mean(reference < 0.0):.0%} of the reference's values are negative")
    return None


def _transposed(pair: _Pair) -> Pattern | None:
    axes = pair.reference.ndim
    for first, second in dict.fromkeys(((axes - 2, axes - 1), (0, 1))) if axes >= 2 else ():
        length = pair.reference.shape[first]
        if length == pair.reference.shape[second] and pair.is_explained(np.swapaxes(pair.reference, first, second)):
            return Pattern("transposed", f"axes {first} and {second}, both of length {length}")
    return None


def _flipped(pair: _Pair) -> Pattern | None:
    axes = pair.reference.ndim
    for flipped in ((axes - 1,), (axes - 2,), (axes - 2, axes - 1)) if axes >= 3 else ():
        if pair.is_explained(np.flip(pair.reference, flipped)):
            return Pattern("flipped", f"along {_axes(flipped)}")
    return None


def _scale_or_shift(pair: _Pair) -> Pattern | None:
    extent = energy(pair.reference)
    if extent > 0.0:
        scale = float(np.vdot(pair.reference, pair.other)) / extent
        if pair.is_explained(scale * pair.reference) or pair.other.size == 1:
            return Pattern("scale", f"{scale:.6g} times the reference")
    shift = float((pair.other - pair.reference).mean())
    if pair.is_explained(pair.reference + shift) or pair.other.size == 1:
        return Pattern("shift", f"the reference {shift:+.6g}")
    return None


def _permuted(pair: _Pair) -> Pattern | None:
    axes = pair.reference.ndim
    for axis in (*channel_axes(pair.reference), 0) if axes >= 2 else ():
        if (found := _permuted_along(pair, axis)) is not None:
            return found
    # A picture that was normalised after its colours had changed places is scaled and shifted by channel as well.
    for axis in (1, 0) if axes >= 3 else ():
        if pair.reference.shape[axis] == 3:
            reference, other = channels_of(pair.reference, axis), channels_of(pair.other, axis)
            orders = [np.array(order) for order in itertools.permutations(range(3))]
            left = [
                remaining_energy(reference[:, order], other, *fit_lines(reference[:, order], other)) for order in orders
            ]
            best = int(np.argmin(left))
            if best != 0 and left[best] <= min(pair.allowed, left[0] / 2):
                order = _order(orders[best])
                return Pattern("channels permuted", f"{order}, {_axes((axis,))}, each then scaled and shifted")
    return None


def _permuted_along(pair: _Pair, axis: int) -> Pattern | None:
    reference, other = rows_of(pair.reference, axis), rows_of(pair.other, axis)
    order = match_rows(reference, other)
    if _is_reordered(order) and energy(other - reference[order]) <= pair.allowed:
        return Pattern("channels permuted", f"{_order(order)}, {_axes((axis,))}")
    return None


def _scale_and_shift(pair: _Pair) -> Pattern | None:
    if pair.other.size < 2 * FEWEST:
        return None
    scale, shift = fit_lines(pair.reference.reshape(1, 1, -1), pair.other.reshape(1, 1, -1))
    if not pair.is_explained(scale.item() * pair.reference + shift.item()):
        return None
    return Pattern("scale and shift", f"{scale.item():.6g} times the reference {shift.item():+.6g}")


def _by_channel(pair: _Pair, axes: tuple[int, ...] | None = None) -> Pattern | None:
    for axis in channel_axes(pair.reference) if axes is None else axes:
        reference, other = channels_of(pair.reference, axis), channels_of(pair.other, axis)
        each = reference.shape[0] * reference.shape[2]
        if reference.shape[1] < 2 or each < FEWEST:
            continue
        scale, shift = fit_scales(reference, other), (other - reference).mean(axis=(0, 2))
        by_scale = remaining_energy(reference, other, scale, 0.0)
        by_shift = remaining_energy(reference, other, 1.0, shift)
        # In images that are alike, a value that is added looks like a factor, but for what that leaves.
        if by_scale <= min(pair.allowed, by_shift):
            return Pattern("scale by channel", f"{_numbers(scale, 'times', 1.0)}, {_axes((axis,))}")
        if by_shift <= pair.allowed:
            return Pattern("shift by channel", f"{_numbers(shift, 'plus', 0.0)}, {_axes((axis,))}")
        if each < 2 * FEWEST:
            continue
        scale, shift = fit_lines(reference, other)
        if remaining_energy(reference, other, scale, shift) <= pair.allowed:
            numbers = f"{_numbers(scale, 'times', 1.0)}, {_numbers(shift, 'plus', 0.0)}"
            return Pattern("scale and shift by channel", f"{numbers}, {_axes((axis,))}")
    return None


def _border(pair: _Pair) -> Pattern | None:
    if not _is_picture(pair.reference):
        return None
    height, width = pair.reference.shape[-2:]
    squares = np.square(pair.other - pair.reference).reshape(-1, height, width).sum(axis=0)
    for border in BORDER_WIDTHS:
        inner = squares[border : height - border, border : width - border]
        # A border that is most of the picture would hold most of any difference.
        share = 1.0 - inner.sum() / squares.sum()
        if share >= EXPLAINED and inner.size >= squares.size / 2:
            where = ", ".join(_sides(squares, border))
            return Pattern("border", f"{share:.1%} of it within {border} pixels of the border ({where})")
    return None


def _sides(squares: np.ndarray, border: int) -> list[str]:
    """The sides of (H, W) that hold the difference; the corners, of which each has two, do not count."""
    along = slice(border, -border)
    parts = {
        "top": squares[:border, along],
        "bottom": squares[-border:, along],
        "left": squares[along, :border],
        "right": squares[along, -border:],
    }
    held = {side: part.sum() for side, part in parts.items()}
    return [side for side in held if held[side] >= 0.05 * sum(held.values())]


def _moved(pair: _Pair) -> Pattern | None:
    if not _is_picture(pair.reference):
        return None
    height, width = pair.reference.shape[-2:]
    reference, other = pair.reference.reshape(-1, height, width), pair.other.reshape(-1, height, width)
    for down, right in _moves():
        rows, columns = _overlap(down, height), _overlap(right, width)
        before = reference[:, rows[0], columns[0]]
        after, unmoved = other[:, rows[1], columns[1]], reference[:, rows[1], columns[1]]
        # Most moves are ruled out by a single plane.
        for planes in (slice(0, 1), slice(None)):
            allowed = (1.0 - EXPLAINED) * _to_explain(unmoved[planes], after[planes])
            if energy(after[planes] - before[planes]) > allowed:
                break
        else:
            return Pattern("moved by whole pixels", f"by {down:+d} down and {right:+d} to the right")
    return None


def _channels_last(pair: _Pair) -> Pattern | None:
    """What `_permuted` and `_by_channel` look for, in a map `(N, H, W, C)`.

    It comes last, for the last axis may be a picture's columns: one that is rolled has these in another order, too.
    """
    if pair.reference.ndim != 4:
        return None
    order = match_rows(rows_of(pair.reference, 3), rows_of(pair.other, 3))
    is_rolled = order is not None and len(set((order - np.arange(order.size)) % order.size)) == 1
    return (None if is_rolled else _permuted_along(pair, 3)) or _by_channel(pair, (3,))


def _moves() -> Iterator[tuple[int, int]]:
    """(down, right), the short ones first."""
    steps = range(-FARTHEST_MOVE, FARTHEST_MOVE + 1)
    yield from sorted(
        ((y, x) for y in steps for x in steps if (y, x) != (0, 0)), key=lambda move: abs(move[0]) + abs(move[1])
    )


def _overlap(move: int, length: int) -> tuple[slice, slice]:
    """Slices of the part that a move leaves in the picture: where it was before, and where it is after."""
    start, stop = max(0, -move), length - max(0, move)
    return slice(start, stop), slice(start + move, stop + move)


def _is_picture(array: np.ndarray) -> bool:
    """Whether the last two axes are those of a picture, of a like length; those of `(N, P, C)` are not."""
    sides = sorted(array.shape[-2:])
    return array.ndim >= 3 and sides[0] >= SMALLEST_PICTURE and sides[1] <= LONGEST_PICTURE * sides[0]


def _is_reordered(order: np.ndarray | None) -> bool:
    return order is not None and bool((order != np.arange(order.size)).any())


def _order(order: np.ndarray) -> str:
    if order.size <= 8:
        return f"{order.tolist()} of the reference's"
    moved = np.flatnonzero(order != np.arange(order.size))
    return f"{moved.size} of {order.size} in another place, {moved[0]} is the reference's {order[moved[0]]}"


def _numbers(values: np.ndarray, sign: str, neutral: float) -> str:
    """The fitted numbers of the channels: each of a few, or their range and how many are not neutral."""
    if values.size <= 4:
        return f"{sign} " + ", ".join(f"{value:.4g}" for value in values)
    apart = np.abs(values - neutral)
    count = int((apart > 0.01 * apart.max()).sum())
    return f"{sign} {values.min():.4g} to {values.max():.4g}, {count} of {values.size} channels"


def _axes(axes: tuple[int, ...]) -> str:
    return ("axis " if len(axes) == 1 else "axes ") + " and ".join(map(str, axes))


def _position(flat: int, array: np.ndarray) -> str:
    return str(tuple(int(index) for index in np.unravel_index(flat, array.shape)))


def _worst(pair: _Pair) -> str:
    distance = np.abs(pair.other - pair.reference)
    worst = int(distance.argmax())
    values = f"{pair.other.flat[worst]:.6g} instead of {pair.reference.flat[worst]:.6g}"
    return f"{np.mean(distance > 0.0):.0%} of the values differ, most at {_position(worst, pair.other)}: {values}"
