"""Training from weights of other classes: a class keeps the rows of its name, and a new one gets drawn rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from common.data.class_names import unnamed

Weights = dict[str, np.ndarray]


class ClassRows(NamedTuple):
    """A layout of the rows of a head's arrays: `groups` times all classes, with `width` rows for each class.

    background: where among the classes the background stands; None if it has no rows.
    """

    background: Literal["first", "last"] | None = None
    groups: int = 1
    width: int = 1

    def rows_by_class(self, classes: int) -> np.ndarray:
        """The rows' numbers as (groups, classes with the background, width), with the background before the classes."""
        count = classes + (self.background is not None)
        rows = np.arange(self.groups * count * self.width).reshape(self.groups, count, self.width)
        return np.roll(rows, 1, axis=1) if self.background == "last" else rows

    def classes_in(self, rows: int) -> int:
        """The number of classes, without the background, that a head of so many rows was made for."""
        return rows // (self.groups * self.width) - (self.background is not None)


@dataclass(frozen=True)
class Start:
    """The arrays that training starts from, and what became of the classes and the heads."""

    weights: Weights
    heads: tuple[str, ...] = ()  # those of which some rows are kept and others drawn
    known: tuple[str, ...] = ()  # the classes whose rows are kept
    unknown: tuple[str, ...] = ()  # the classes whose rows are drawn afresh
    skipped: tuple[str, ...] = ()  # the arrays that are drawn afresh as a whole

    def summary(self) -> str:
        """In a few words; empty where everything is kept as it is."""
        parts = []
        if self.heads:
            parts.append(f"{len(self.known)} of {len(self.known) + len(self.unknown)} classes kept by name")
        if self.skipped:
            parts.append(f"of another size and drawn afresh: {', '.join(self.skipped)}")
        return "; ".join(parts)

    def lines(self) -> list[str]:
        """The classes by their names, for whoever starts a run."""
        if not self.heads:
            return []
        named = {"kept": self.known, "drawn afresh": self.unknown}
        return [f"classes of {', '.join(self.heads)}"] + [
            f"  {what} ({len(names)}): {', '.join(names) or 'none'}" for what, names in named.items()
        ]


def start_from(
    weights: Mapping[str, np.ndarray],
    drawn: Mapping[str, np.ndarray],
    heads: Mapping[str, ClassRows],
    known_classes: Sequence[str],
    classes: Sequence[str],
) -> Start:
    """Fits weights that know `known_classes` to a network of `classes`, whose initial numbers are `drawn`.

    heads: the layouts of the layers whose rows belong to classes, by how the names of their arrays begin. A class keeps
    the rows of the class of its name, in every head, and the background its own; a class that the weights do not know
    gets drawn ones. Arrays of another shape for any other reason are drawn as a whole. The result has no arrays that
    the weights do not have.
    """
    sources = _match_classes(known_classes, classes)
    if list(sources) == list(range(len(known_classes))):
        heads = {}
    merged, mixed, skipped = dict(weights), [], []
    for name, array in weights.items():
        start = drawn[name]
        rows = next((rows for prefix, rows in heads.items() if name.startswith(prefix)), None)
        fitted = array if rows is None else _merge_rows(array, start, rows, len(known_classes), sources)
        if fitted is None or fitted.shape != start.shape:
            skipped.append(name)
            del merged[name]
        elif rows is not None:
            mixed.append(name.rpartition(".")[0])
            merged[name] = fitted
    return Start(
        merged,
        tuple(dict.fromkeys(mixed)),
        tuple(name for name, source in zip(classes, sources, strict=True) if source is not None),
        tuple(name for name, source in zip(classes, sources, strict=True) if source is None),
        tuple(skipped),
    )


def _match_classes(known: Sequence[str], classes: Sequence[str]) -> list[int | None]:
    """For each class the position of the known class that it is, or None.

    A known class without a name may be any; among equally many it is taken for the class at its own position.
    """
    by_name = {name: number for number, name in enumerate(known)}
    is_same_count = len(known) == len(classes)
    return [
        number if is_same_count and known[number] == unnamed(number + 1) else by_name.get(name)
        for number, name in enumerate(classes)
    ]


def _merge_rows(
    array: np.ndarray, start: np.ndarray, rows: ClassRows, known: int, sources: Sequence[int | None]
) -> np.ndarray | None:
    """`start` with the rows of `array` for every class that has some there; None where either has another layout."""
    theirs, ours = rows.rows_by_class(known), rows.rows_by_class(len(sources))
    if (len(array), len(start)) != (theirs.size, ours.size) or array.shape[1:] != start.shape[1:]:
        return None
    offset = int(rows.background is not None)
    pairs = [(0, 0)] * offset
    pairs += [(source + offset, number + offset) for number, source in enumerate(sources) if source is not None]
    merged = start.copy()
    for source, target in pairs:
        merged[ours[:, target]] = array[theirs[:, source]]
    return merged
