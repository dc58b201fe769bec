"""Pairs arrays of equal numbers: those of one name first, then those that the numbers themselves lead to each other."""

from collections.abc import Mapping

import numpy as np

from benchmarks.foreign.weights.files import WeightsFile
from benchmarks.foreign.weights.found import Found
from benchmarks.foreign.weights.names import derive_names, leaf_of, why_left_out
from benchmarks.foreign.weights.search import Search


def pair_equal_names(search: Search) -> None:
    """Pairs what has one name, or similar ones, and is equal as it stands."""
    for ours, theirs in search.names.items():
        left, right = search.ours.arrays[ours], search.theirs.arrays[theirs]
        if left.shape != right.shape:
            continue
        is_exact = left.dtype == right.dtype and search.ours.precision == "float32"
        if np.array_equal(left, right):
            search.add(Found((ours,), (theirs,), search.way_of_name(ours, theirs), "equal"))
        elif not is_exact and np.array_equal(search.ours.numbers(ours), search.theirs.numbers(theirs)):
            search.add_if_equal(ours, theirs, search.way_of_name(ours, theirs))


def pair_contents(search: Search) -> None:
    """Pairs arrays of the same numbers, in whatever form, if the names do not contradict that.

    They do where arrays that have partners by name hold each other's numbers: those have been exchanged, and are paired
    by name. Arrays of one number alone are passed over: nothing tells them apart.
    """
    pairs = _by_content(search)
    _derive_names(search, pairs)
    by_their_name = {theirs: ours for ours, theirs in search.names.items()}
    for ours, theirs in pairs.items():
        if search.names.get(ours) == theirs:
            way = search.way_of_name(ours, theirs)
            search.add_if_equal(ours, theirs, "content" if way == "path" else way)
    for ours, theirs in pairs.items():
        if search.is_free(ours, theirs) and not _contradicted(search, ours, pairs, by_their_name):
            search.add_if_equal(ours, theirs, "content")


def pair_named_constants(search: Search) -> None:
    """Pairs by name what is of one number alone on both sides, and is equal."""
    for ours, theirs in search.names.items():
        if search.is_free(ours, theirs) and search.ours.is_constant(ours):
            search.add_if_equal(ours, theirs, search.way_of_name(ours, theirs))


def pair_constants(search: Search) -> None:
    """Pairs in their order arrays of one and the same number that have one shape, and no partner by name.

    Which of them belong together makes no difference.
    """
    named = set(search.names.values())
    left = _constants(search.ours, [name for name in search.left if name not in search.names])
    right = _constants(search.theirs, [name for name in search.right if name not in named])
    for key, names in left.items():
        for ours, theirs in zip(names, right.get(key, ()), strict=False):
            search.add(Found((ours,), (theirs,), "one number", "equal"))


def _constants(file: WeightsFile, names: list[str]) -> dict[tuple, list[str]]:
    """The arrays of one number alone by that number, their shape and what they are to their layer."""
    groups: dict[tuple, list[str]] = {}
    for name in names:
        numbers = file.numbers(name)
        if numbers.size and file.is_constant(name) and not why_left_out(name):
            groups.setdefault((numbers.shape, float(numbers.flat[0]), leaf_of(name)), []).append(name)
    return groups


def _by_content(search: Search) -> dict[str, str]:
    """Pairs of arrays of the same numbers; among several of the same numbers one name or else the order decides."""
    left, right = _groups(search.ours, search.left), _groups(search.theirs, search.right)
    pairs = {}
    for key in left.keys() & right.keys():
        free = dict.fromkeys(right[key])
        by_name = {ours: search.names[ours] for ours in left[key] if search.names.get(ours) in free}
        rest = [theirs for theirs in free if theirs not in by_name.values()]
        pairs |= by_name
        pairs |= dict(zip([ours for ours in left[key] if ours not in by_name], rest, strict=False))
    return {ours: pairs[ours] for ours in search.left if ours in pairs}


def _derive_names(search: Search, pairs: Mapping[str, str]) -> None:
    """Adds the pairs of names that follow from what the content has shown, where the sizes fit."""
    shown = {found.ours[0]: found.theirs[0] for found in search.found} | dict(pairs)
    named = set(search.names.values())
    left = [name for name in search.left if name not in search.names]
    right = [name for name in search.right if name not in named]
    for ours, theirs in derive_names(left, right, shown).items():
        if _are_alike(search, ours, theirs):
            search.names[ours] = theirs
            search.derived.add(ours)


def _groups(file: WeightsFile, names: list[str]) -> dict[tuple[int, int], list[str]]:
    """The arrays by their numbers of numbers and fingerprints."""
    groups: dict[tuple[int, int], list[str]] = {}
    for name in names:
        if not file.is_constant(name):
            groups.setdefault((file.arrays[name].size, file.fingerprint(name)), []).append(name)
    return groups


def _contradicted(search: Search, ours: str, pairs: Mapping[str, str], by_their_name: Mapping[str, str]) -> bool:
    """Whether the names hold against the content that leads `ours` to another array.

    Where names are used otherwise (`norm1` is the other's `norm0`), going from content to name and on ends at an array
    that has no name in the other file. Where it comes back, or ends at one whose numbers are lost, the names are the
    same and the numbers stand in the wrong places.
    """
    if search.names.get(ours) is None or not _are_alike(search, ours, search.names[ours]):
        return False
    first = ours
    for _ in range(len(pairs) + 1):
        theirs = pairs[ours]
        named = by_their_name.get(theirs)
        if named is None or not _are_alike(search, named, theirs):
            return False
        if named == first or named not in pairs:
            return True
        ours = named
    return True


def _are_alike(search: Search, ours: str, theirs: str) -> bool:
    """Whether two arrays could be the same by their size."""
    return search.ours.arrays[ours].size == search.theirs.arrays[theirs].size
