"""Finds square matrices that are transposed where no other is, or are not where all others are."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from benchmarks.foreign.weights.found import Found
from benchmarks.foreign.weights.names import leaf_of

_FEWEST = 2  # matrices that are not square, from which on they tell how a format keeps them


def check_squares(found: list[Found], ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> list[Found]:
    """The findings, in which a square matrix that is not kept as the oblong ones are differs.

    Square matrices fit either way, so that a loader that forgets to transpose them, or does it in vain, says nothing.
    The oblong ones tell nothing where they are not all kept alike.
    """
    matrices = {place: each for place, each in enumerate(found) if _is_weight_pair(each, ours, theirs)}
    oblong = [_is_transposed(each) for each in matrices.values() if len(set(ours[each.ours[0]].shape)) == 2]
    if len(oblong) < _FEWEST or len(set(oblong)) != 1:
        return found
    usual, checked = oblong[0], list(found)
    for place, each in matrices.items():
        if len(set(ours[each.ours[0]].shape)) == 1 and _is_transposed(each) != usual:
            detail = "not transposed, as the others are" if usual else "transposed, as no other is"
            detail = f"a square matrix is {detail}"
            checked[place] = replace(each, verdict="differs", form="", pattern="transposed", detail=detail)
    return checked


def _is_weight_pair(found: Found, ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> bool:
    """Whether these are two matrices of equal numbers that are a linear layer's by their names."""
    if len(found.ours) != 1 or len(found.theirs) != 1 or found.departs or found.verdict == "left out":
        return False
    name, given = found.ours[0], found.theirs[0]
    return ours[name].ndim == theirs[given].ndim == 2 and leaf_of(name) == "weight" and min(ours[name].shape) > 1


def _is_transposed(found: Found) -> bool:
    return "transposed" in found.form
