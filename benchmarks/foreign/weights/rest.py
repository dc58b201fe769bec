"""What equal numbers do not pair: arrays that differ, and arrays that have no partner."""

import math
from dataclasses import replace

import numpy as np

from benchmarks.foreign.weights.departing import brought, describe_departure, describe_shape, is_rounding
from benchmarks.foreign.weights.files import WeightsFile
from benchmarks.foreign.weights.found import Found, Way
from benchmarks.foreign.weights.names import is_made_anew, leaf_of, why_left_out
from benchmarks.foreign.weights.rearranging import describe_shapes
from benchmarks.foreign.weights.search import Search

_SAMPLED = 2048  # numbers of an array by which it is compared with others of its shape
_ALIKE = 0.5  # the cosine from which two arrays of one shape may be the same, where there are too many or too few
_CHANCE = 4.0  # divided by the root of the number of numbers: a cosine that unrelated arrays do not reach


def pair_what_differs(search: Search) -> None:
    """Pairs by name or path, then by shape and order, what has no equal in the other file."""
    for ours, theirs in search.names.items():
        if search.is_free(ours, theirs):
            search.add(_compared(search, ours, theirs, search.way_of_name(ours, theirs)))
    for ours, theirs in _in_order(search):
        if not search.add_if_equal(ours, theirs, "shape and order"):
            search.add(_compared(search, ours, theirs, "shape and order"))


def name_what_is_left(search: Search) -> None:
    """Names what has no partner, but for what counts for nothing and what repeats an array that has one."""
    left, right = search.left, search.right
    reasons = _why_dispensable(search.ours, left), _why_dispensable(search.theirs, right)
    for name in left:
        reason = reasons[0].get(name, "")
        search.add(Found((name,), (), "", "left out" if reason else "missing", detail=reason))
    for name in right:
        reason = reasons[1].get(name, "")
        search.add(Found((), (name,), "", "left out" if reason else "extra", detail=reason))


def _compared(search: Search, ours: str, theirs: str, way: Way) -> Found:
    """A pair that does not have the same numbers, or perhaps but for rounding."""
    pair = Found((ours,), (theirs,), way, "differs")
    reference, other = search.ours.numbers(ours), search.theirs.numbers(theirs)
    shaping = describe_shapes(reference.shape, other.shape)
    turned = brought(reference, other)
    if reason := why_left_out(ours) or why_left_out(theirs):
        return replace(pair, verdict="left out", detail=reason)
    if turned is None:
        return replace(pair, pattern="another shape", detail=describe_shape(reference, other))
    rounding = is_rounding(reference, turned)
    if rounding is not None:
        words = f"but for rounding, {rounding:.0e} of the largest number"
        return replace(pair, verdict="equal in another form", form="; ".join(filter(None, (shaping, words))))
    source = _source(search, ours, theirs)
    facts = describe_departure(reference, turned)
    if source:
        facts |= {"pattern": "numbers of another array", "detail": f"it holds the reference's {source}"}
    return replace(pair, form=shaping, **facts)


def _source(search: Search, ours: str, theirs: str) -> str:
    """The other array of the reference whose numbers `theirs` holds, if it is one's."""
    if search.theirs.is_constant(theirs):
        return ""
    size, wanted = search.theirs.arrays[theirs].size, search.theirs.fingerprint(theirs)
    for name, array in search.ours.arrays.items():
        if name != ours and array.size == size and search.ours.fingerprint(name) == wanted:
            return name
    return ""


def _in_order(search: Search) -> list[tuple[str, str]]:
    """Pairs of arrays of one shape that are the same to their layers, in the order of both files.

    Where the files do not have equally many, those whose numbers are most alike are paired, and none that are not.
    """
    pairs = []
    leaves = set(map(leaf_of, search.left)) & set(map(leaf_of, search.right))
    left, right = _by_shape(search.ours, search.left, leaves), _by_shape(search.theirs, search.right, leaves)
    for key in (key for key in left if key in right):
        if len(left[key]) == len(right[key]):
            pairs += zip(left[key], right[key], strict=True)
            continue
        samples = [_samples(search.ours, left[key]), _samples(search.theirs, right[key])]
        alike = samples[0] @ samples[1].T
        least = max(_ALIKE, _CHANCE / math.sqrt(samples[0].shape[1]))
        while alike.max() >= least:
            row, column = np.unravel_index(np.argmax(alike), alike.shape)
            pairs.append((left[key][row], right[key][column]))
            alike[row], alike[:, column] = -1, -1
    return pairs


def _by_shape(file: WeightsFile, names: list[str], leaves: set[str]) -> dict[tuple, list[str]]:
    """The arrays by shape, and by what they are to their layer where both files have a word for it."""
    groups: dict[tuple, list[str]] = {}
    for name in names:
        if not why_left_out(name):
            leaf = leaf_of(name) if leaf_of(name) in leaves else ""
            groups.setdefault((file.arrays[name].shape, leaf), []).append(name)
    return groups


def _samples(file: WeightsFile, names: list[str]) -> np.ndarray:
    """(number of names, at most 2 * _SAMPLED) vectors of length 1 of evenly spaced numbers of arrays of one shape."""
    size = file.arrays[names[0]].size
    samples = np.stack([file.numbers(name).reshape(-1)[:: max(1, size // _SAMPLED)] for name in names])
    samples = np.nan_to_num(samples.astype(np.float64), posinf=0, neginf=0)
    return samples / np.maximum(np.linalg.norm(samples, axis=1, keepdims=True), 1e-300)


def _paired_contents(file: WeightsFile, left: list[str]) -> dict[tuple[int, int], str]:
    """The arrays that have partners by their size and fingerprint, if there are any without."""
    sizes = {file.arrays[name].size for name in left}
    paired = [name for name, array in file.arrays.items() if name not in set(left) and array.size in sizes]
    return {(file.arrays[name].size, file.fingerprint(name)): name for name in paired if not file.is_constant(name)}


def _why_dispensable(file: WeightsFile, names: list[str]) -> dict[str, str]:
    """Why a network is the same without some of the arrays that have no partner: {name: reason}."""
    reasons, paired = {}, _paired_contents(file, names)
    for name in names:
        numbers = file.numbers(name)
        if reason := why_left_out(name):
            reasons[name] = reason
        elif is_made_anew(name):
            reasons[name] = "follows from the settings"
        elif leaf_of(name) == "bias" and not np.any(numbers):
            reasons[name] = "a bias of zeros"
        elif same := paired.get((numbers.size, file.fingerprint(name))):
            reasons[name] = f"repeats {same}"
    return reasons
