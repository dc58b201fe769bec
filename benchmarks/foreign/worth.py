"""What a pair of layers that stand at one place in two computations is worth, beside other pairs."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from benchmarks.foreign.alignment import Gap, align
from benchmarks.foreign.content import ALIKE, Content, Likeness, compare
from benchmarks.foreign.kinds import CONTAINER, TELLING
from benchmarks.foreign.layer_weights import LayerWeights
from benchmarks.foreign.reshaping import Shape

NEARLY = 0.9  # the correlation from which on two layers of different kinds may be one


class Worth:
    """Judges pairs of a layer of the reference and one of the port by their kinds, numbers, shapes and weights.

    our_kinds, their_kinds: the kind of each layer, "" where it is not known. layouts_differ: whether the port may have
    its channels last where the reference has them first, or the reverse.
    """

    def __init__(
        self,
        ours: Content,
        theirs: Content,
        our_kinds: Mapping[str, str],
        their_kinds: Mapping[str, str],
        weights: LayerWeights,
        layouts_differ: bool,
    ):
        self._ours, self._theirs, self._weights = ours, theirs, weights
        self._our_kinds, self._their_kinds, self._layouts_differ = our_kinds, their_kinds, layouts_differ
        self._our_all_kinds, self._their_all_kinds = _all_kinds(ours, our_kinds), _all_kinds(theirs, their_kinds)
        self._near: dict[tuple[str, str], Likeness | None] = {}

    def near(self, name: str, given: str) -> Likeness | None:
        """How near the one is to the other; None where their shapes do not allow that."""
        if (name, given) not in self._near:
            self._near[name, given] = compare(self._ours, self._theirs, name, given)
        return self._near[name, given]

    def best_pairs(self, gap: Gap) -> list[tuple[str, str]]:
        """The pairs of what is in a gap, in the order of both, that are worth most together.

        Where something that agrees follows, layers of a kind that tells little must be much alike.
        """
        worth = np.array([[self._of(name, given, gap.is_last) for given in gap.theirs] for name in gap.ours])
        pairs = align(worth.reshape(len(gap.ours), len(gap.theirs)))
        return [(gap.ours[row], gap.theirs[column]) for row, column in pairs]

    def telling(self, gap: Gap) -> Gap:
        """A gap with the layers alone that are paired by their kind, however unlike they are."""
        ours = {name for name in gap.ours if self._our_kinds[name] in ("", *TELLING)}
        return gap.only(ours, {given for given in gap.theirs if self._their_kinds[given] in ("", *TELLING)})

    def count(self, gap: Gap) -> int:
        """How many pairs a gap has if nothing that agrees follows."""
        return len(self.best_pairs(replace(gap, is_last=True)))

    def sure(self, name: str, given: str) -> Literal["likely", "guessed"]:
        """How sure a pair is that was made for its worth."""
        near = self.near(name, given)
        confirmed = self._weights.relation(name, given) == "same" if near is None else near.alike
        return "likely" if confirmed and all(self._common_kind(name, given)) else "guessed"

    def _of(self, name: str, given: str, is_last: bool) -> float:
        """0 for two layers of which nothing says that they are one."""
        near = self.near(name, given)
        correlation = 0.0 if near is None else 1.0 if near.equal else max(0.0, near.correlation)
        known, kind = self._common_kind(name, given)
        if known and not kind:
            return 0.5 + correlation if correlation >= NEARLY else 0.0
        needed = ALIKE if known and kind != CONTAINER else NEARLY
        if not is_last and kind not in TELLING and correlation < needed:
            return 0.0
        if near is None:
            return self._of_other_shape(name, given, known, known and kind != CONTAINER)
        if kind == CONTAINER:
            return 0.5 + correlation
        same_shape = tuple(self._ours.arrays.shapes[name]) == tuple(self._theirs.arrays.shapes[given])
        return (1.0 + known if same_shape or near.alike else 0.75) + correlation

    def _of_other_shape(self, name: str, given: str, is_known: bool, is_of_one_kind: bool) -> float:
        """What two layers are worth whose answers have other numbers of values.

        They may be one whose padding, stride or rounding of a size is another: their channels are as many, and their
        weights are not known to be two layers'. A layer that is the last of its container is not another container.
        """
        if is_known and (self._our_kinds[name] in TELLING) != (self._their_kinds[given] in TELLING):
            return 0.0
        shape, other = tuple(self._ours.arrays.shapes[name]), tuple(self._theirs.arrays.shapes[given])
        relation = self._weights.relation(name, given)
        if relation == "other" or not _share_channels(shape, other, self._layouts_differ):
            return 0.0
        return (0.5 if is_of_one_kind else 0.25) + (relation == "same")

    def _common_kind(self, name: str, given: str) -> tuple[bool, str]:
        """Whether the kinds of both are known, and the kind that they have in common, that of the reference's else.

        A layer's output may be its container's too: it is of both kinds.
        """
        ours, theirs = self._our_all_kinds[name], self._their_all_kinds[given]
        if not all(ours) or not all(theirs):
            return False, self._our_kinds[name]
        common = ours & theirs
        return True, next(iter(sorted(common - {CONTAINER})), CONTAINER if common else "")


def _all_kinds(content: Content, kinds: Mapping[str, str]) -> dict[str, set[str]]:
    """The kinds of all layers that have the numbers of each."""
    return {name: {kinds[member] for member in members} for members in content.classes for name in members}


def _share_channels(one: Shape, other: Shape, layouts_differ: bool) -> bool:
    """Whether two arrays of different sizes may be one layer's: as many channels, first or last, at other positions."""
    axes = [(1, 1), (-1, -1), *([(1, -1), (-1, 1)] if layouts_differ else [])]
    return max(len(one), len(other)) >= 3 and any(_moved_apart(one, axis, other, theirs) for axis, theirs in axes)


def _moved_apart(one: Shape, axis: int, other: Shape, other_axis: int) -> bool:
    """Whether two shapes have as many channels along the axes given, and all their other sides differ.

    One side alone may differ by one, as a size that is odd is rounded up or down. Windows stand in the place of images,
    and there may be more of them.
    """
    if min(len(one), len(other)) < 2 or one[axis] != other[other_axis]:
        return False
    if one[0] != other[0]:
        return len(one) == len(other) == 3 and axis == other_axis == -1
    sides, others = (shape[1:-1] if at == -1 else shape[2:] for shape, at in ((one, axis), (other, other_axis)))
    apart = [abs(side - theirs) for side, theirs in zip(sides, others, strict=False)]
    return len(sides) != len(others) or all(apart) or max(apart) == 1
