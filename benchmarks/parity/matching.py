"""Matching the arrays of a port's dump to the layers of the reference."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmarks.parity.dumps import Dump
from common.errors import UserError

Way = Literal["path", "map", "order and shape", "missing", "not compared"]

# PyTorch's data-parallel models have the first, the files of `trace --layers` the second.
PREFIXES = ("module.", "layer.")
SAMPLED = 4096  # values of an array that are compared, where several arrays have its shape
SHOWN = 4  # names in a message


@dataclass(frozen=True)
class Match:
    """A layer of the reference and the array that belongs to it.

    name: the layer's, "" where the port has an array that the reference has not. theirs: the array's, "" where it is
    the other way round. way: by what the two were matched, or why they were not.
    """

    name: str
    theirs: str
    way: Way


def match(ours: Dump, theirs: Dump, names: Mapping[str, str]) -> list[Match]:
    """Matches every layer of the reference by the map, else by its path, else by order and shape.

    names: {theirs: ours}, the map. The matches are in the reference's order; arrays that match no layer come last.
    """
    partners: dict[str, tuple[str, Way]] = {name: (given, "map") for given, name in names.items()}
    for spelling in (str, _without_prefix):
        free = {spelling(given): given for given in _unmatched(theirs, partners)}
        for name in ours.layers:
            if name not in partners and spelling(name) in free:
                partners[name] = (free.pop(spelling(name)), "path")
    _check_shapes(ours, theirs, partners)
    rest = [name for name in ours.layers if name not in partners]
    for name, given in _aligned(ours, theirs, rest, _unmatched(theirs, partners)):
        partners[name] = (given, "order and shape")
    if not any(name in partners for name in ours.layers):
        raise UserError(
            f"{theirs.path}: none of its layers ({shorten(theirs.layers) or 'it has none'}) is one of the "
            f"reference's ({shorten(ours.layers) or 'it has none'}), by path, by map, or by order and shape"
        )
    matches = [Match(name, *partners.get(name, ("", "missing"))) for name in ours.layers]
    return matches + [Match("", given, "not compared") for given in _unmatched(theirs, partners)]


def describe_matches(matches: list[Match]) -> str:
    """The number of layers matched in each way, and a line for each that is not matched by its own path."""
    layers = [found for found in matches if found.name]
    counts = {way: sum(found.way == way for found in layers) for way in ("path", "map", "order and shape")}
    ways = ", ".join(f"{count} by {way}" for way, count in counts.items() if count)
    lines = [f"{sum(counts.values())} of {len(layers)} layers matched: {ways}"]
    width = max(len(found.name) for found in layers)
    for found in layers:
        if found.way in ("map", "order and shape"):
            lines.append(f"  {found.name:<{width}}  is {found.theirs}, by {found.way}")
    for way, names in (
        ("missing", [found.name for found in layers if found.way == "missing"]),
        ("not compared", [found.theirs for found in matches if found.way == "not compared"]),
    ):
        lines += [f"  {way}: {', '.join(names)}"] if names else []
    return "\n".join(lines)


def shorten(names: list[str]) -> str:
    """The first few of the names, and the number of the others, in one line."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _unmatched(theirs: Dump, partners: Mapping[str, tuple[str, Way]]) -> list[str]:
    """The port's arrays that are no layer's partner, in their order."""
    taken = {given for given, _ in partners.values()}
    return [given for given in theirs.layers if given not in taken]


def _without_prefix(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _check_shapes(ours: Dump, theirs: Dump, partners: Mapping[str, tuple[str, Way]]) -> None:
    for name in ours.layers:
        given = partners[name][0] if name in partners else ""
        if given and ours.shapes[name] != theirs.shapes[given]:
            called = repr(name) if given == name else f"{name!r}, theirs {given!r},"
            raise UserError(
                f"{theirs.path}: layer {called} has the shape {theirs.shapes[given]}; "
                f"the reference's has {ours.shapes[name]}"
            )


def _aligned(ours: Dump, theirs: Dump, left: list[str], right: list[str]) -> list[tuple[str, str]]:
    """Pairs of names with arrays of one shape, in the order of both lists.

    There are as many pairs as possible, and among the choices of so many the one with the most similar values: where
    one of several layers of a shape is missing, only the values show which.
    """
    worth = _pair_worth(ours, theirs, left, right)
    # best[i, j]: the most that pairs of the first i and the first j names are worth
    best = np.zeros((len(left) + 1, len(right) + 1))
    for row in range(len(left)):
        for column in range(len(right)):
            paired = best[row, column] + worth[row, column] if worth[row, column] else 0.0
            best[row + 1, column + 1] = max(best[row, column + 1], best[row + 1, column], paired)
    pairs, row, column = [], len(left), len(right)
    while row and column:
        if best[row, column] == best[row - 1, column]:
            row -= 1
        elif best[row, column] == best[row, column - 1]:
            column -= 1
        else:
            row, column = row - 1, column - 1
            pairs.append((left[row], right[column]))
    return pairs[::-1]


def _pair_worth(ours: Dump, theirs: Dump, left: list[str], right: list[str]) -> np.ndarray:
    """The worth of each pair of arrays, (left, right): 0 where their shapes differ, else 1 and their similarity.

    The similarity is the cosine of the two samples, at least 0, divided by the number of names + 1: added up over all
    pairs it stays below 1, so that no similarity makes up for a pair.
    """
    worth = np.zeros((len(left), len(right)))
    shapes = {ours.shapes[name] for name in left}
    samples = {given: _sample(theirs.array(given)) for given in right if theirs.shapes[given] in shapes}
    for row, name in enumerate(left):
        fitting = [column for column, given in enumerate(right) if theirs.shapes[given] == ours.shapes[name]]
        sample = _sample(ours.array(name)) if fitting else None
        for column in fitting:
            worth[row, column] = 1 + max(0.0, float(sample @ samples[right[column]])) / (len(left) + 1)
    return worth


def _sample(array: np.ndarray) -> np.ndarray:
    """At most twice `SAMPLED` of the values, evenly spaced, as a vector of length 1."""
    values = array.reshape(-1)[:: max(1, array.size // SAMPLED)].astype(np.float64)
    values[~np.isfinite(values)] = 0
    return values / max(float(np.linalg.norm(values)), 1e-300)
