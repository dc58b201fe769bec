"""Which array of a port's dump belongs to which layer of the reference."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from benchmarks.parity.dumps import Dump
from common.errors import UserError

How = Literal["path", "map", "order and shape", "missing", "not compared"]

PREFIXES = ("module.", "layer.")  # of PyTorch's data-parallel models, and of what `trace --layers` writes
SAMPLED = 4096  # values by which arrays of one shape are told apart
SHOWN = 4  # names in a message


@dataclass(frozen=True)
class Match:
    """A layer of the reference and the array that belongs to it.

    name: "" where the port has an array that the reference has not; theirs: "" where it is the other way round.
    """

    name: str
    theirs: str
    how: How


def match(ours: Dump, theirs: Dump, names: Mapping[str, str]) -> list[Match]:
    """In the reference's order: by the map, else by path, else by order and shape; what is left over comes last.

    names: {theirs: ours}, the map.
    """
    partners: dict[str, tuple[str, How]] = {name: (given, "map") for given, name in names.items()}
    for spelling in (str, _without_prefix):
        free = {spelling(given): given for given in _left(theirs, partners)}
        for name in ours.layers:
            if name not in partners and spelling(name) in free:
                partners[name] = (free.pop(spelling(name)), "path")
    _check_shapes(ours, theirs, partners)
    rest = [name for name in ours.layers if name not in partners]
    for name, given in _aligned(ours, theirs, rest, _left(theirs, partners)):
        partners[name] = (given, "order and shape")
    if not any(name in partners for name in ours.layers):
        raise UserError(
            f"{theirs.path}: none of its layers ({shortened(theirs.layers) or 'it has none'}) is one of the "
            f"reference's ({shortened(ours.layers) or 'it has none'}), by path, by map, or by order and shape"
        )
    matches = [Match(name, *partners.get(name, ("", "missing"))) for name in ours.layers]
    return matches + [Match("", given, "not compared") for given in _left(theirs, partners)]


def told(matches: list[Match]) -> str:
    """How each was matched: those that go by their own path in one number, all others in a line each."""
    layers = [found for found in matches if found.name]
    counts = {how: sum(found.how == how for found in layers) for how in ("path", "map", "order and shape")}
    ways = ", ".join(f"{count} by {how}" for how, count in counts.items() if count)
    lines = [f"{sum(counts.values())} of {len(layers)} layers matched: {ways}"]
    width = max(len(found.name) for found in layers)
    for found in layers:
        if found.how in ("map", "order and shape"):
            lines.append(f"  {found.name:<{width}}  is {found.theirs}, by {found.how}")
    for how, names in (
        ("missing", [found.name for found in layers if found.how == "missing"]),
        ("not compared", [found.theirs for found in matches if found.how == "not compared"]),
    ):
        lines += [f"  {how}: {', '.join(names)}"] if names else []
    return "\n".join(lines)


def shortened(names: list[str]) -> str:
    """The first few of the names."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _left(theirs: Dump, partners: Mapping[str, tuple[str, How]]) -> list[str]:
    taken = {given for given, _ in partners.values()}
    return [given for given in theirs.layers if given not in taken]


def _without_prefix(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _check_shapes(ours: Dump, theirs: Dump, partners: Mapping[str, tuple[str, How]]) -> None:
    for name in ours.layers:
        given = partners[name][0] if name in partners else ""
        if given and ours.shapes[name] != theirs.shapes[given]:
            called = repr(name) if given == name else f"{name!r}, theirs {given!r},"
            raise UserError(
                f"{theirs.path}: layer {called} has the shape {theirs.shapes[given]}; "
                f"the reference's has {ours.shapes[name]}"
            )


def _aligned(ours: Dump, theirs: Dump, left: list[str], right: list[str]) -> list[tuple[str, str]]:
    """Pairs of one shape that keep both orders: as many as there can be, and of those choices the most alike.

    Where one of several layers of a shape is missing, the number of pairs does not tell which; the values do.
    """
    worth = _worth(ours, theirs, left, right)
    best = np.zeros((len(left) + 1, len(right) + 1))  # best[i, j]: of the first i and the first j
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


def _worth(ours: Dump, theirs: Dump, left: list[str], right: list[str]) -> np.ndarray:
    """(left, right): 0 for a pair of two shapes; else 1 and how alike they are, all of which adds up to less than 1."""
    worth = np.zeros((len(left), len(right)))
    shapes = {ours.shapes[name] for name in left}
    samples = {given: _sample(theirs.array(given)) for given in right if theirs.shapes[given] in shapes}
    for row, name in enumerate(left):
        columns = [column for column, given in enumerate(right) if theirs.shapes[given] == ours.shapes[name]]
        sample = _sample(ours.array(name)) if columns else None
        for column in columns:
            worth[row, column] = 1 + max(0.0, float(sample @ samples[right[column]])) / (len(left) + 1)
    return worth


def _sample(array: np.ndarray) -> np.ndarray:
    """Some of the values, evenly spaced, as a vector of length 1."""
    values = array.reshape(-1)[:: max(1, array.size // SAMPLED)].astype(np.float64)
    values[~np.isfinite(values)] = 0
    return values / max(float(np.linalg.norm(values)), 1e-300)
