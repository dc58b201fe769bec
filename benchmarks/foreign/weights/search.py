"""The state of a comparison of two files: the arrays that are still without a partner, and what was found so far."""

from dataclasses import dataclass, field

import numpy as np

from benchmarks.foreign.weights.files import WeightsFile
from benchmarks.foreign.weights.found import Found, Way
from benchmarks.foreign.weights.rearranging import Form, find_form


@dataclass
class Search:
    """Two files and what was found of them.

    ours: the reference. names: the pairs that the names make, {ours: theirs}. derived: those of ours whose pair follows
    from where the numbers of other arrays were found.
    """

    ours: WeightsFile
    theirs: WeightsFile
    names: dict[str, str]
    found: list[Found] = field(default_factory=list)
    derived: set[str] = field(default_factory=set)
    _left: dict[str, None] = field(init=False)
    _right: dict[str, None] = field(init=False)

    def __post_init__(self) -> None:
        self._left, self._right = dict.fromkeys(self.ours.arrays), dict.fromkeys(self.theirs.arrays)

    @property
    def left(self) -> list[str]:
        """The reference's arrays of which nothing was found yet, in their order."""
        return list(self._left)

    @property
    def right(self) -> list[str]:
        """The other file's arrays of which nothing was found yet, in their order."""
        return list(self._right)

    def is_free(self, ours: str, theirs: str) -> bool:
        """Whether nothing was found of either array yet."""
        return ours in self._left and theirs in self._right

    def add(self, found: Found) -> None:
        """Notes what was found; its arrays are no longer looked for."""
        self.found.append(found)
        for name in found.ours:
            self._left.pop(name, None)
        for given in found.theirs:
            self._right.pop(given, None)

    def way_of_name(self, ours: str, theirs: str) -> Way:
        """By what two names make a pair."""
        if ours in self.derived:
            return "path"
        return "name" if ours == theirs else "similar name"

    def add_if_equal(self, ours: str, theirs: str, way: Way) -> bool:
        """Notes a pair whose numbers are the same in some form -> whether they are."""
        form = find_form(self.ours.numbers(ours), self.theirs.numbers(theirs))
        if form is not None:
            self.add(equal(self, ours, theirs, way, form))
        return form is not None


def equal(search: Search, ours: str, theirs: str, way: Way, form: Form) -> Found:
    """A pair of equal numbers: equal as it stands, in a form that formats differ in, or in one that is an error."""
    words = "; ".join(text for text in (form.words, _rounding(search, ours, theirs, form)) if text)
    if form.is_error:
        return Found((ours,), (theirs,), way, "differs", pattern="in another order", detail=words)
    verdict = "equal in another form" if words else "equal"
    return Found((ours,), (theirs,), way, verdict, words, form.conditions)


def _rounding(search: Search, ours: str, theirs: str, form: Form) -> str:
    """To what two arrays had to be rounded to be equal; "" where they are equal as they are."""
    left, right, precision = search.ours.arrays[ours], search.theirs.arrays[theirs], search.ours.precision
    if form.axes or form.orders:
        return "" if precision == "float32" else f"rounded to {precision}"
    return "" if np.array_equal(left.reshape(-1), right.reshape(-1)) else f"rounded to {precision}"
