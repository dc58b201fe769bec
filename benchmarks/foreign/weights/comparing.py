"""Two files of weights held against each other, array by array."""

from collections.abc import Mapping

import numpy as np

from benchmarks.foreign.weights.contents import (
    pair_constants,
    pair_contents,
    pair_equal_names,
    pair_named_constants,
)
from benchmarks.foreign.weights.files import WeightsFile, common_precision
from benchmarks.foreign.weights.folding import pair_folded
from benchmarks.foreign.weights.found import Found
from benchmarks.foreign.weights.joining import pair_joined
from benchmarks.foreign.weights.names import pair_names
from benchmarks.foreign.weights.rest import name_what_is_left, pair_what_differs
from benchmarks.foreign.weights.search import Search
from benchmarks.foreign.weights.transposing import check_axes

# From what is sure to what is a guess; each passes over what the ones before it have paired.
_STEPS = (
    pair_equal_names,
    pair_contents,
    pair_named_constants,
    pair_joined,
    pair_constants,
    pair_folded,
    pair_what_differs,
    name_what_is_left,
)


def compare_weights(reference: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> list[Found]:
    """Every array of either side once, with its partner, in the reference's order; what is extra comes last."""
    precision = common_precision(reference, other)
    ours, theirs = WeightsFile(reference, precision), WeightsFile(other, precision)
    search = Search(ours, theirs, pair_names(reference, other))
    for step in _STEPS:
        step(search)
    order = {name: place for place, name in enumerate(reference)}
    found = sorted(search.found, key=lambda each: min((order[name] for name in each.ours), default=len(order)))
    return check_axes(found, reference, other)
