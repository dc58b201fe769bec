"""Counts a data set's faults, and names the first few of each kind."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

_MOST_NAMED = 5


@dataclass(frozen=True)
class Fault:
    """One kind of fault: how often it occurs, what it is, and the names of the first few."""

    count: int
    what: str  # in the plural, with what is done about it: "annotations of an unknown image, left out"
    examples: tuple[str, ...]

    def __str__(self) -> str:
        more = ", ..." if self.count > len(self.examples) else ""
        return f"{self.count} {self.what} ({', '.join(self.examples)}{more})"


def collect(found: Iterable[tuple[str, Iterable]]) -> list[Fault]:
    """Makes faults of (description, names) pairs; a pair without names gives none."""
    faults = []
    for what, names in found:
        names = list(names)
        if names:
            faults.append(Fault(len(names), what, tuple(str(name) for name in islice(names, _MOST_NAMED))))
    return faults
