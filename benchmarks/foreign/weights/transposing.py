"""Finds weights whose axes stand otherwise than those of nearly all others, where their lengths do not tell."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from benchmarks.foreign.weights.found import Found
from benchmarks.foreign.weights.names import leaf_of

_FEWEST = 2  # weights of one rank, from which on they tell how a format keeps them
_MOST = 0.75  # the share of them that must be kept alike
_AXES = re.compile(r"transposed|axes stored as \w+")
_LETTERS = "OIHW"

Weights = Mapping[str, np.ndarray]


def check_axes(found: list[Found], ours: Weights, theirs: Weights) -> list[Found]:
    """The findings, in which a weight that is not kept as the others are differs, though it fits.

    A square matrix or kernel fits with its axes exchanged, too, so that a loader that forgets to exchange them, or does
    it in vain, says nothing. Those of unequal lengths, which fit one way alone, tell how the format keeps them.
    """
    checked = list(found)
    for rank in (2, 4):
        weights = {place: each for place, each in enumerate(found) if _is_weight_pair(each, ours, theirs, rank)}
        shapes = {place: (ours[each.ours[0]].shape, theirs[each.theirs[0]].shape) for place, each in weights.items()}
        certain = Counter(_axes(weights[place]) for place, (shape, _) in shapes.items() if shape[0] != shape[1])
        usual, count = certain.most_common(1)[0] if certain else ("", 0)
        if certain.total() < _FEWEST or count < _MOST * certain.total():
            continue
        for place, each in weights.items():
            if _axes(each) != usual and _would_fit(usual, *shapes[place]):
                detail = f"{_axes(each) or 'its axes as they are'}, where the others are {usual or 'as they are'}"
                checked[place] = replace(each, verdict="differs", form="", pattern="axes exchanged", detail=detail)
    return checked


def _is_weight_pair(found: Found, ours: Weights, theirs: Weights, rank: int) -> bool:
    """Whether these are two arrays of equal numbers that are a layer's weight by their name and have so many axes."""
    if len(found.ours) != 1 or len(found.theirs) != 1 or found.departs or found.verdict == "left out":
        return False
    name, given = found.ours[0], found.theirs[0]
    is_constant = np.all(ours[name] == ours[name].flat[0]) if ours[name].size else True
    return ours[name].ndim == theirs[given].ndim == rank and leaf_of(name) == "weight" and not is_constant


def _axes(found: Found) -> str:
    """How the axes are kept, in words; "" where they are as the reference's."""
    words = _AXES.search(found.form)
    return words[0] if words else ""


def _would_fit(axes: str, reference: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether an array of this shape could also be kept with its axes so."""
    if axes == "transposed":
        return other == reference[::-1]
    if not axes:
        return other == reference
    lengths = dict(zip(_LETTERS, reference, strict=True))
    return other == tuple(lengths[letter] for letter in axes.rpartition(" ")[2])
