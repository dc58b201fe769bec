"""Matching anchors or regions with objects by how much they overlap."""

from typing import Literal

from common.array import Array, namespace

# The answers of `match_by_threshold` where a box has no object.
BACKGROUND, BETWEEN = -1, -2


def match_by_threshold(
    overlaps: Array,
    low: float,
    high: float,
    low_quality: bool = False,
    claimed_by: Literal["itself", "last object"] = "itself",
) -> Array:
    """Intersections over unions (G, N) of objects with boxes -> (N,) int32: each box's object, or a negative number.

    With best[n] = max over g of overlaps[g, n], and of equals the first g,

        match[n] = argmax over g of overlaps[g, n]   where best[n] >= high
                   BETWEEN                           where low <= best[n] < high
                   BACKGROUND                        where best[n] < low

    With `low_quality` each object claims the boxes that overlap it most of all boxes, every one of equals. `claimed_by`
    says whose they are: "itself" of the object that they themselves overlap most, not always the one that claimed them,
    at any overlap over 0; "last object" of the last one that claimed them, from the overlap `low` on.
    """
    xp = namespace(overlaps)
    count = overlaps.shape[1]
    if overlaps.shape[0] == 0 or count == 0:
        return xp.full((count,), BACKGROUND, like=overlaps, dtype="int32")
    best, owner = xp.max(overlaps, axis=0), xp.argmax(overlaps, 0)
    matches = xp.where(best < high, BETWEEN, owner)
    matches = xp.where(best < low, BACKGROUND, matches)
    if low_quality:
        highest = xp.max(overlaps, axis=1, keepdims=True)
        # An object that meets no box at all would otherwise claim them all.
        enough = overlaps > 0 if claimed_by == "itself" else overlaps >= low
        claims = xp.logical_and(overlaps == highest, enough)
        if claimed_by == "last object":
            rows = xp.arange(overlaps.shape[0], like=overlaps)[:, None]
            owner = xp.max(xp.where(claims, rows, -1), axis=0)
        matches = xp.where(xp.any(claims, axis=0), owner, matches)
    return xp.astype(matches, "int32")
