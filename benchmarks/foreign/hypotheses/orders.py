"""Parts of an array in another order: concatenated parts, the tokens of shifted windows."""

from collections.abc import Iterator
from itertools import permutations

import numpy as np

from benchmarks.foreign.hypotheses.evidence import Evidence, Hypothesis
from benchmarks.foreign.hypotheses.layouts import join_windows, split_in_windows

_PARTS = {
    2: "the two parts are concatenated in the other order",
    3: "the three parts (queries, keys and values) stand in another order",
    4: "the four parts (the corners of a merged patch, levels or gates) stand in another order",
}
_OTHER_WAY = "the windows are shifted the other way"


def order_hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """The reference's own values with equal parts of the channels, or the tokens of windows, put otherwise."""
    reference = np.asarray(evidence.reference, np.float64)
    if reference.ndim < 2 or evidence.other.shape != reference.shape:
        return
    for axis in dict.fromkeys((1, reference.ndim - 1)):
        for count, cause in _PARTS.items():
            if reference.shape[axis] % count == 0 and reference.shape[axis] > count:
                parts = np.split(reference, count, axis)
                for order in list(permutations(range(count)))[1:]:
                    put = np.concatenate([parts[part] for part in order], axis)
                    yield Hypothesis(f"{cause}: {list(order)}", put)
        yield from _interleaved(reference, axis)
    yield from _of_windows(reference)
    yield from _of_concatenated(evidence, reference)


def _interleaved(reference: np.ndarray, axis: int) -> Iterator[Hypothesis]:
    """Channels (parts, n) read as (n, parts), as heads or groups are when an axis is swapped too few or too many."""
    length = reference.shape[axis]
    moved = np.moveaxis(reference, axis, -1)
    for count in (part for part in range(2, length) if length % part == 0):
        mixed = moved.reshape(*moved.shape[:-1], count, -1).swapaxes(-1, -2).reshape(moved.shape)
        cause = f"the channels are interleaved: {count} parts of {length // count} are taken for the reverse"
        yield Hypothesis(cause, np.moveaxis(mixed, -1, axis))


def _of_concatenated(evidence: Evidence, reference: np.ndarray) -> Iterator[Hypothesis]:
    """Parts of unlike size that were joined along axis 1, in the other order."""
    sizes = {x.shape[1] for _, x in evidence.inputs() if x.ndim == reference.ndim > 1}
    for size in sorted(size for size in sizes if 0 < size < reference.shape[1]):
        put = np.concatenate([reference[:, -size:], reference[:, :-size]], 1)
        yield Hypothesis(f"{_PARTS[2]}: the last {size} channels come first", put)


def _of_windows(reference: np.ndarray) -> Iterator[Hypothesis]:
    """Tokens (windows, tokens, C) of square windows in a square picture: not shifted, or shifted the other way."""
    side = round(reference.shape[1] ** 0.5)
    if reference.ndim != 3 or side * side != reference.shape[1] or side < 2:
        return
    count, half = len(reference), side // 2
    unshifted = "the windows are not shifted, or shifted where the reference's are not"
    for across in range(2, round(count**0.5) + 1):
        if count % (across * across) == 0:
            picture = join_windows(reference, across)
            for steps, cause in (
                (half, unshifted),
                (-half, unshifted),
                (2 * half, _OTHER_WAY),
                (-2 * half, _OTHER_WAY),
            ):
                yield Hypothesis(cause, split_in_windows(np.roll(picture, (steps, steps), (1, 2)), side))
            yield Hypothesis("rows and columns are exchanged", split_in_windows(picture.swapaxes(1, 2), side))
