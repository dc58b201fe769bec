"""Which anchor or region answers for which object, by how much they overlap."""

from common.array import Array, namespace

# The answers of `match_by_threshold` where a box has no object.
BACKGROUND, BETWEEN = -1, -2


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
