"""What is wrong with a data set, counted and named."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

_NAMED = 5


@dataclass(frozen=True)
class Fault:
    """One kind of fault: how often, what, and the first few by name."""

    count: int
    what: str  # in the plural, with what is done about it: "annotations of an unknown image, left out"
    examples: tuple[str, ...]

    def __str__(self) -> str:
        more = ", ..." if self.count > len(self.examples) else ""
        return f"{self.count} {self.what} ({', '.join(self.examples)}{more})"


def collect(found: Iterable[tuple[str, Iterable]]) -> list[Fault]:
    """The kinds of which there are any, from pairs of a description and a sized collection of names."""
    faults = []
    for what, names in found:
        names = list(names)
        if names:
            faults.append(Fault(len(names), what, tuple(str(name) for name in islice(names, _NAMED))))
    return faults
