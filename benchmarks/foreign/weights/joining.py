"""Finds arrays that stand in several arrays of the other file: an attention's queries, keys and values, joined."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.foreign.weights.departing import describe_departure
from benchmarks.foreign.weights.files import WeightsFile
from benchmarks.foreign.weights.fingerprints import slice_fingerprints
from benchmarks.foreign.weights.found import Found, Way
from benchmarks.foreign.weights.names import layer_of, leaf_of
from benchmarks.foreign.weights.orders import describe_order
from benchmarks.foreign.weights.search import Search

# In the order in which networks join them; each is a word of a name, between dots or underscores.
_QUERY_KEY_VALUE = (("q", "query", "wq"), ("k", "key", "wk"), ("v", "value", "wv"))
_JOINED = {"qkv", "in"}  # `in_proj` is what PyTorch calls it


@dataclass(frozen=True)
class Joined:
    """An array of one file that several of the other stand in.

    axis: along which they are joined. order: (length of the axis,), the places in the whole of the parts' entries, part
    by part. turned: whether the parts are transposed.
    """

    whole: str
    parts: tuple[str, ...]
    axis: int
    order: np.ndarray
    turned: bool
    way: Way

    def assembled(self, file: WeightsFile) -> np.ndarray:
        """The parts joined in their own order."""
        parts = [file.numbers(name) for name in self.parts]
        return np.concatenate([part.T for part in parts] if self.turned else parts, self.axis)


def pair_joined(search: Search) -> None:
    """Pairs each array with the several arrays of the other file that it consists of, on either side."""
    for joined in list(_find_joined(search.theirs, search.right, search.ours, search.left)):
        if joined.whole in search.right and set(joined.parts) <= set(search.left):
            search.add(_compared(search, joined, are_parts_ours=True))
    for joined in list(_find_joined(search.ours, search.left, search.theirs, search.right)):
        if joined.whole in search.left and set(joined.parts) <= set(search.right):
            search.add(_compared(search, joined, are_parts_ours=False))


def _compared(search: Search, joined: Joined, are_parts_ours: bool) -> Found:
    """What the parts, joined, come to beside the whole."""
    if are_parts_ours:
        ours, theirs, form = joined.parts, (joined.whole,), f"joined along axis {joined.axis}"
        reference, order = joined.assembled(search.ours), joined.order
        other = search.theirs.numbers(joined.whole)
    else:
        ours, theirs, form = (joined.whole,), joined.parts, f"split along axis {joined.axis}"
        reference, order = search.ours.numbers(joined.whole), np.argsort(joined.order)
        other = joined.assembled(search.theirs)
    brought = other.take(order, joined.axis)
    form += ", transposed" if joined.turned else ""
    if not np.array_equal(reference, brought):
        return Found(ours, theirs, joined.way, "differs", form, **describe_departure(reference, brought))
    if not np.array_equal(order, np.arange(len(order))):
        found = describe_order(order, joined.axis, reference.shape)
        if not found.is_convention:
            return Found(ours, theirs, joined.way, "differs", form, pattern="in another order", detail=found.words)
        form = f"{form}; {found.words}"
    return Found(ours, theirs, joined.way, "equal in another form", form)


def _find_joined(
    wholes: WeightsFile, whole_names: Sequence[str], parts: WeightsFile, part_names: Sequence[str]
) -> Iterator[Joined]:
    """The arrays among `whole_names` that consist of arrays among `part_names`: by their numbers, else by the names."""
    index, groups = _first_slices(parts, part_names), _query_key_value(part_names)
    joined: dict[str, Joined] = {}
    for name in whole_names:
        found = _by_content(name, wholes, parts, index, groups) or _by_names(name, wholes, parts, groups)
        if found is not None:
            joined[layer_of(name)] = found
            yield found
    for name in whole_names:
        weight = joined.get(layer_of(name))
        if weight is not None and weight.whole != name:
            beside = _beside(name, wholes, parts, part_names, weight)
            if beside is not None:
                yield beside


def _first_slices(file: WeightsFile, names: Sequence[str]) -> dict[int, list[tuple[str, int]]]:
    """The matrices and their axes by the fingerprints of their first slices."""
    index: dict[int, list[tuple[str, int]]] = {}
    for name in names:
        if _is_matrix(file.numbers(name)) and not file.is_constant(name):
            for axis, slices in enumerate(slice_fingerprints(file.numbers(name))):
                index.setdefault(int(slices[0]), []).append((name, axis))
    return index


def _is_matrix(numbers: np.ndarray) -> bool:
    """Whether an array is a linear layer's matrix or a 1x1 convolution's: what is joined in practice."""
    return np.squeeze(numbers).ndim == 2


def _by_content(
    whole: str,
    wholes: WeightsFile,
    parts: WeightsFile,
    index: dict[int, list[tuple[str, int]]],
    groups: dict[str, tuple[str, ...]],
) -> Joined | None:
    """The parts whose slices are the slices of the whole along one of its axes, and are all of them.

    Where queries, keys and values are found in part, the others are taken to belong there, too.
    """
    numbers, keys = wholes.numbers(whole), np.fromiter(index, np.uint64, len(index))
    if not _is_matrix(numbers):
        return None
    for axis, slices in enumerate(slice_fingerprints(numbers)):
        begun = [int(each) for each in slices[np.isin(slices, keys)]]
        position_of = {int(each): position for position, each in enumerate(slices)} if begun else {}
        found = []
        for name, its_axis in dict.fromkeys(part for each in begun for part in index[each]):
            its_slices = slice_fingerprints(parts.numbers(name))[its_axis]
            if len(its_slices) < len(slices) and all(int(each) in position_of for each in its_slices):
                found.append((name, its_axis, [position_of[int(each)] for each in its_slices]))
        if not found:
            continue
        turned = numbers.ndim == 2 and found[0][1] != axis
        if len(found) > 1 and sorted(place for _, _, part in found for place in part) == list(range(len(slices))):
            found = _in_order(found)
            order = np.array([place for _, _, part in found for place in part])
            return Joined(whole, tuple(name for name, _, _ in found), axis, order, turned, "content")
        group = next((group for group in groups.values() if found[0][0] in group), ())
        if sum(parts.arrays[name].shape[found[0][1]] for name in group) == len(slices):
            return Joined(whole, group, axis, np.arange(len(slices)), turned, "path")
    return None


def _in_order(parts: list[tuple[str, int, list[int]]]) -> list[tuple[str, int, list[int]]]:
    """Parts as queries, keys and values where their names say so, else as they stand in the whole."""
    words = [_word(name) for name, _, _ in parts]
    if sorted(word[1] for word in words if word) == [0, 1, 2] and len(words) == 3:
        return [part for _, part in sorted(zip(words, parts, strict=True), key=lambda pair: pair[0][1])]
    return sorted(parts, key=lambda part: part[2][0])


def _by_names(whole: str, wholes: WeightsFile, parts: WeightsFile, groups: dict[str, tuple[str, ...]]) -> Joined | None:
    """The queries, keys and values that have the whole's own name but for the word."""
    names = groups.get(_without_joined_word(whole))
    if names is None:
        return None
    shape, shapes = wholes.arrays[whole].shape, [parts.arrays[name].shape for name in names]
    if any(each[1:] != shape[1:] for each in shapes) or sum(each[0] for each in shapes) != shape[0]:
        return None
    return Joined(whole, names, 0, np.arange(shape[0]), False, "similar name")


def _beside(
    whole: str, wholes: WeightsFile, parts: WeightsFile, part_names: Sequence[str], weight: Joined
) -> Joined | None:
    """The parts of a bias whose weight's parts are known."""
    by_layer = {layer_of(name): name for name in part_names if leaf_of(name) == leaf_of(whole)}
    names = [by_layer.get(layer_of(name), "") for name in weight.parts]
    length = len(weight.order)
    if "" in names or wholes.arrays[whole].shape != (length,):
        return None
    if sum(parts.arrays[name].size for name in names) != length:
        return None
    return Joined(whole, tuple(names), 0, weight.order, False, "path")


def _query_key_value(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Names of queries, keys and values of one layer by what their names have in common."""
    groups: dict[str, dict[int, str]] = {}
    for name in names:
        if (word := _word(name)) is not None:
            groups.setdefault(word[0], {})[word[1]] = name
    return {key: (group[0], group[1], group[2]) for key, group in groups.items() if len(group) == 3}


def _word(name: str) -> tuple[str, int] | None:
    """A name without the last of its words that stands for queries, keys or values, and which of the three it was."""
    words = re.split(r"[._/]", name)
    for place in reversed(range(len(words))):
        for number, spellings in enumerate(_QUERY_KEY_VALUE):
            if words[place] in spellings:
                rest = [word for word in words[:place] + words[place + 1 :] if word not in ("proj", "to")]
                return ".".join(rest), number
    return None


def _without_joined_word(name: str) -> str:
    """The name of a joined array without the words for what it joins, as `_word` leaves a part's."""
    words = re.split(r"[._/]", name)
    rest = [word for word in words if word not in (*_JOINED, "proj", "to")]
    return ".".join(rest) if _JOINED & set(words) else ""
