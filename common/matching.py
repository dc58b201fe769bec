"""Which box answers for which object."""

import numpy as np

from common.array import Array, namespace

# What `match_by_threshold` answers where a box has no object.
BACKGROUND, BETWEEN = -1, -2


def claim_best(overlaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each object claims its best prior, whatever the overlap: overlaps (M, P) -> objects (M,), priors (M,), in order.

    The highest overlap is served first, and a claimed prior is gone for the others. Of equal overlaps the first
    object and the first prior win.
    """
    best = overlaps.argmax(axis=1)
    value = np.take_along_axis(overlaps, best[:, None], axis=1)[:, 0]
    objects, priors = np.empty(len(overlaps), np.int64), np.empty(len(overlaps), np.int64)
    for turn in range(len(overlaps)):
        chosen = value.argmax()
        objects[turn], priors[turn] = chosen, best[chosen]
        value[chosen] = -np.inf
        for loser in np.nonzero((best == best[chosen]) & (value > -np.inf))[0]:
            free = overlaps[loser].copy()
            free[priors[: turn + 1]] = -1
            best[loser] = free.argmax()
            value[loser] = free[best[loser]]
    return objects, priors


def match_by_threshold(overlaps: Array, low: float, high: float, low_quality: bool = False) -> Array:
    """overlaps (G, N) of objects with boxes -> (N,) int32: each box's object, or BACKGROUND or BETWEEN.

    The object is the one that overlaps the box most (of equals the first), at `high` or more; under `low` a box is
    background. With `low_quality` the boxes that overlap an object most of all, every one of equals, keep theirs too;
    as in the originals that is the object that they themselves overlap most, and not always the one that kept them.
    """
    xp = namespace(overlaps)
    count = overlaps.shape[1]
    if overlaps.shape[0] == 0:
        return xp.full((count,), BACKGROUND, like=overlaps, dtype="int32")
    best, owner = xp.max(overlaps, axis=0), xp.argmax(overlaps, 0)
    found = xp.where(best < high, BETWEEN, owner)
    found = xp.where(best < low, BACKGROUND, found)
    if low_quality:
        highest = xp.max(overlaps, axis=1, keepdims=True)
        # An object that meets no box at all would otherwise keep them all.
        kept = xp.any(xp.logical_and(overlaps == highest, overlaps > 0), axis=0)
        found = xp.where(kept, owner, found)
    return xp.astype(found, "int32")
