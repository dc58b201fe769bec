"""Which array of a port belongs to which of the reference: by rules, path, content, and kind and position."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Literal

import numpy as np

from benchmarks.foreign.alignment import Gap, gaps, join_gaps
from benchmarks.foreign.content import (
    EQUAL,
    Arrays,
    Content,
    Likeness,
    compare,
    equal_classes,
    passing_through,
    read_content,
    says_something,
)
from benchmarks.foreign.kinds import CONTAINER, PASSING, TELLING, WITH_WEIGHTS, kinds_of
from benchmarks.foreign.layer_weights import NO_WEIGHTS, LayerWeights
from benchmarks.foreign.parts import best_join, best_split, find_wholes, in_usual_order, ruled_form, runs_of_channels
from benchmarks.foreign.paths import bare
from benchmarks.foreign.reshaping import AS_IT_IS, Form
from benchmarks.foreign.rules import Rules
from benchmarks.foreign.worth import Worth

__all__ = ["Arrays", "Pair", "brought", "pair"]

Way = Literal["path", "rule", "kind and position", "content", "missing", "extra", "passes through", "left out"]
Sure = Literal["sure", "likely", "guessed", ""]


@dataclass(frozen=True)
class Pair:
    """An array of the reference and what belongs to it in the port.

    ours: the reference's name; "" for what only the port has. theirs: the port's array, or the parts that are joined;
    () for what is missing. way: by what the two were paired, or why they were not. sure: how sure the pair is; "" where
    nothing is paired. recipe: how the port's array is brought to the reference's shape.

    "passes through" is a layer whose output is its input, to the last bit, and that has no partner: it is excused, on
    either side. "left out" is what a rule leaves out.
    """

    ours: str
    theirs: tuple[str, ...]
    way: Way
    sure: Sure = ""
    recipe: Form = AS_IT_IS
    has_weights: bool = False

    @property
    def form(self) -> str:
        """How the port's array is brought to the reference's shape, in words; "" where it has that shape."""
        return self.recipe.words

    @property
    def compared(self) -> bool:
        """Whether the two are to be held against each other."""
        return bool(self.ours and self.theirs) and self.way not in ("passes through", "left out")


def pair(ours: Arrays, theirs: Arrays, rules: Rules, weights: LayerWeights = NO_WEIGHTS) -> list[Pair]:
    """A pair for every array of the reference, in its order, and after them one for each that only the port has.

    Rules go first. Then arrays of one path, and of one content, where path and content do not contradict each other;
    parts that are one array when they are joined; and at last what stands at the same place between pairs that are
    equal and is of one kind: alike, or of another shape with as many channels. weights: of the layers, which keep two
    layers of other shapes apart that have not one weight, and confirm those that have.
    """
    pairing = _Pairing(ours, theirs, weights)
    pairing.by_rules(rules)
    pairing.by_path()
    pairing.by_content()
    pairing.by_parts()
    pairing.by_position()
    pairing.settle_orders()
    return pairing.all_pairs()


def brought(found: Pair, theirs: Arrays, shape: tuple[int, ...]) -> np.ndarray | None:
    """The port's array of a pair in the reference's shape; None where no form fits, which is another shape."""
    return found.recipe.bring([theirs.array(name) for name in found.theirs], tuple(shape))


class _Pairing:
    """The pairs found so far, and what is known of the two dumps."""

    def __init__(self, ours: Arrays, theirs: Arrays, weights: LayerWeights):
        self.ours = read_content(ours)
        self.theirs = read_content(theirs, ours.shapes.values())
        self.our_kinds, self.their_kinds = kinds_of(ours.names, ours.kinds), kinds_of(theirs.names, theirs.kinds)
        self.weights = weights
        self.pairs: dict[str, Pair] = {}  # by the reference's name
        self.taken: set[str] = set()  # the port's names
        self.left_out: list[Pair] = []
        self.in_usual_order: list[list[Pair]] = []  # of parts that are equal in another order
        self.anchors: dict[str, str] = {}  # names of equal content, {ours: theirs}

    @cached_property
    def worth(self) -> Worth:
        """What pairs by position are worth, once those by content are known: they show in what layouts the two are."""
        maps = [each for each in self.pairs.values() if each.compared and len(self.ours.arrays.shapes[each.ours]) > 2]
        layouts_differ = not maps or any(each.recipe.order for each in maps)
        return Worth(self.ours, self.theirs, self.our_kinds, self.their_kinds, self.weights, layouts_differ)

    @cached_property
    def equal(self) -> Mapping[str, list[str]]:
        """The port's arrays that hold the numbers of each array of the reference."""
        return equal_classes(self.ours, self.theirs)

    def by_rules(self, rules: Rules) -> None:
        """Pairs what the rules name, and sets aside what they leave out."""
        ours, theirs = self.ours.arrays, self.theirs.arrays
        for name in rules.left_out(ours.names):
            self.pairs[name] = Pair(name, (), "left out")
        for given in rules.left_out(theirs.names):
            self.left_out.append(Pair("", (given,), "left out"))
            self.taken.add(given)
        for ruled in rules.apply(ours.names, theirs.names):
            for part, name in enumerate(ruled.ours):
                form = ruled_form(ours, theirs, ruled, part, rules)
                self._keep(Pair(name, ruled.theirs, "rule", "sure", form))
            first = brought(self.pairs[ruled.ours[0]], theirs, ours.shapes[ruled.ours[0]])
            if first is not None and self._holds(ruled.ours[0], first):
                self.anchors[ruled.ours[0]] = ruled.theirs[0]

    def by_path(self) -> None:
        """Pairs arrays of one path, unless what they hold says that they are two layers."""
        for spelling in (str, bare):
            by_path = {spelling(given): given for given in reversed(self._free_theirs())}
            for name in self._free_ours():
                given = by_path.get(spelling(name))
                if given is None or given in self.taken:
                    continue
                found = compare(self.ours, self.theirs, name, given)
                is_equal = found is not None and found.equal
                if not is_equal and (self._has_partner_elsewhere(name) or self._contradict(name, given, found)):
                    continue
                self._keep(Pair(name, (given,), "path", "sure", found.form if found else AS_IT_IS))
                if is_equal and says_something(self.ours, name):
                    self.anchors[name] = given

    def by_content(self) -> None:
        """Pairs what has equal numbers; of several layers with the same numbers those of one kind, then in order."""
        for members in self.ours.classes:
            partners = self.equal.get(members[0], [])
            is_unique = len(members) == 1 and len(partners) == 1
            free = [name for name in members if name not in self.pairs]
            for name, given in self._match_members(free, [given for given in partners if given not in self.taken]):
                found = compare(self.ours, self.theirs, name, given)
                self._keep(Pair(name, (given,), "content", "sure" if is_unique else "likely", found.form))
                self.anchors[name] = given

    def by_parts(self) -> None:
        """Pairs an array with several that are equal to it when they are joined, and with a part of one."""
        both = self.ours.arrays, self.theirs.arrays
        fit = partial(best_join, *both)
        for name, parts, (form,) in find_wholes(self.ours, self.theirs, self._free_ours(), self._free_theirs(), fit):
            self._keep_parts([Pair(name, parts, "content", "sure", form)])
            if (usual := in_usual_order(parts, self.theirs.arrays.names)) != parts:
                self.in_usual_order.append([Pair(name, usual, "content", "likely", form)])
        fit = partial(best_split, *both)
        for given, names, forms in find_wholes(self.theirs, self.ours, self._free_theirs(), self._free_ours(), fit):
            pairs = [Pair(name, (given,), "content", "sure", form) for name, form in zip(names, forms, strict=True)]
            self._keep_parts(pairs)
            if (usual := in_usual_order(names, self.ours.arrays.names)) != names:
                self.in_usual_order.append([_at_its_place(each, usual[i]) for i, each in enumerate(pairs)])

    def settle_orders(self) -> None:
        """Puts parts back into their usual order where the port goes on as if they were in it.

        Queries that stand at the keys' place are equal to the reference's by content. Where what follows is equal too,
        the port knows it; where not, the order is its fault.
        """
        names = list(self.ours.arrays.names)
        for pairs in self.in_usual_order:
            last = max(names.index(each.ours) for each in pairs)
            following = (name for name in names[last + 1 :] if name in self.pairs and self.pairs[name].compared)
            if next(following, None) not in self.anchors:
                for each in pairs:
                    self._keep(each)

    def by_position(self) -> None:
        """Pairs what is left between two neighbouring anchors, in order; what has no partner there, by likeness."""
        names, given_names = self.ours.arrays.names, self.theirs.arrays.names
        ours = {name for name in self._free_ours() if not self._only_passes(self.ours, self.our_kinds, name)}
        theirs = {name for name in self._free_theirs() if not self._only_passes(self.theirs, self.their_kinds, name)}
        apart = [gap.only(ours, theirs) for gap in gaps(names, given_names, self.anchors)]
        for gap in join_gaps(apart, self.worth.telling, self.worth.count):
            self._join_by_position(gap.ours, gap.theirs)
            free = gap.only(self._free_ours(), self._free_theirs())
            # Layers that tell and have no partner, on both sides, have departed, whatever happens to agree behind them.
            departs = any(self.our_kinds[name] in TELLING for name in free.ours)
            departs = departs and any(self.their_kinds[name] in TELLING for name in free.theirs)
            self._align(replace(free, is_last=gap.is_last or departs))
        for name in self._free_ours():
            self._pair_elsewhere(name)

    def all_pairs(self) -> list[Pair]:
        """Every array of the reference in its order, then what only the port has, in the port's order."""
        ours = passing_through(self.ours, self.pairs)
        theirs = passing_through(self.theirs, self.taken)
        found = [
            self.pairs.get(name) or Pair(name, (), "passes through" if name in ours else "missing")
            for name in self.ours.arrays.names
        ]
        found = [replace(each, has_weights=self.our_kinds[each.ours] in WITH_WEIGHTS) for each in found]
        extra = [Pair("", (given,), "passes through" if given in theirs else "extra") for given in self._free_theirs()]
        return found + self.left_out + extra

    def _keep_parts(self, pairs: Sequence[Pair]) -> None:
        for each in pairs:
            self._keep(each)
        self.anchors[pairs[-1].ours] = pairs[-1].theirs[-1]

    def _join_by_position(self, left: Sequence[str], right: Sequence[str]) -> None:
        """Pairs layers with weights with two or three neighbours of their kind that are as large together.

        What departs in such a layer is found in its parts; none of these would be taken for the whole.
        """
        ours = [name for name in left if self.our_kinds[name] in WITH_WEIGHTS]
        theirs = [given for given in right if self.their_kinds[given] in ("", *WITH_WEIGHTS)]
        for name in left:
            kind, size = self.our_kinds[name], np.prod(self.ours.arrays.shapes[name])
            free = [given for given in right if given not in self.taken and self.their_kinds[given] in ("", kind)]
            if kind not in WITH_WEIGHTS or any(np.prod(self.theirs.arrays.shapes[given]) == size for given in free):
                continue
            parts = next(runs_of_channels(self.theirs.arrays, free, theirs, tuple(self.ours.arrays.shapes[name])), None)
            best = parts and best_join(self.ours.arrays, self.theirs.arrays, name, parts)
            if best:
                (near,) = best[1]
                sure = "likely" if near.alike else "guessed"
                self._keep(Pair(name, best[0], "kind and position", sure, near.form))
        for given in right:
            kind, size = self.their_kinds[given], np.prod(self.theirs.arrays.shapes[given])
            free = [name for name in ours if name not in self.pairs and kind in ("", self.our_kinds[name])]
            same_size = any(np.prod(self.ours.arrays.shapes[name]) == size for name in free)
            if kind not in ("", *WITH_WEIGHTS) or given in self.taken or same_size:
                continue
            parts = next(runs_of_channels(self.ours.arrays, free, ours, tuple(self.theirs.arrays.shapes[given])), None)
            best = parts and best_split(self.ours.arrays, self.theirs.arrays, given, parts)
            for name, near in zip(*best, strict=True) if best else ():
                sure = "likely" if near.alike else "guessed"
                self._keep(Pair(name, (given,), "kind and position", sure, near.form))

    def _align(self, gap: Gap) -> None:
        for name, given in self.worth.best_pairs(gap):
            near = self.worth.near(name, given)
            form = near.form if near else AS_IT_IS
            self._keep(Pair(name, (given,), "kind and position", self.worth.sure(name, given), form))

    def _pair_elsewhere(self, name: str) -> None:
        """Pairs a layer with weights with the most alike of its kind, wherever the port computes it."""
        kind = self.our_kinds[name]
        if kind not in WITH_WEIGHTS:
            return
        near = {
            given: found
            for given in self._free_theirs()
            if self.their_kinds[given] == kind and (found := compare(self.ours, self.theirs, name, given))
        }
        best = max(near, key=lambda given: near[given].correlation, default=None)
        if best is not None and near[best].alike:
            self._keep(Pair(name, (best,), "kind and position", "guessed", near[best].form))

    def _only_passes(self, content: Content, kinds: Mapping[str, str], name: str) -> bool:
        """Whether a layer has the numbers of one before it and is not of a kind that computes something."""
        return kinds[name] in PASSING and name in passing_through(content, ())

    def _match_members(self, names: Sequence[str], givens: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Pairs arrays that all have the same numbers: those of one kind first, then those whose kind is not known."""
        free = list(givens)
        is_first = not any(name in self.pairs for name in names)
        paired = set()
        for may_be in (lambda a, b: a == b != "", lambda a, b: not a or not b):
            for name in names:
                fitting = [x for x in free if may_be(self.our_kinds[name], self.their_kinds[x])]
                if name not in paired and fitting:
                    free.remove(fitting[0])
                    paired.add(name)
                    yield name, fitting[0]
        if is_first and not paired and names and free:
            yield names[0], free[0]

    def _has_partner_elsewhere(self, name: str) -> bool:
        """Whether an array of the port whose path is nobody's holds the numbers of one of the reference."""
        paths = self._bare_paths
        return any(bare(given) not in paths for given in self.equal.get(name, []) if given not in self.taken)

    @cached_property
    def _bare_paths(self) -> set[str]:
        return {bare(name) for name in self.ours.arrays.names}

    def _contradict(self, name: str, given: str, found: Likeness | None) -> bool:
        """Whether two arrays of one path are not alike, and of different kinds or of layers that are made of layers.

        What a container answers, before or after its last layers, differs between implementations.
        """
        kind, other = self.our_kinds[name], self.their_kinds[given]
        is_alike = found is not None and found.alike
        return not is_alike and (kind == CONTAINER or (bool(kind and other) and kind != other))

    def _holds(self, name: str, array: np.ndarray) -> bool:
        """Whether an array brought to a layer's shape is equal to it."""
        reference = self.ours.arrays.array(name).astype(np.float64)
        return bool(np.linalg.norm(array - reference) <= EQUAL * np.linalg.norm(reference))

    def _keep(self, found: Pair) -> None:
        self.pairs[found.ours] = found
        self.taken |= set(found.theirs)

    def _free_ours(self) -> list[str]:
        return [name for name in self.ours.arrays.names if name not in self.pairs]

    def _free_theirs(self) -> list[str]:
        return [given for given in self.theirs.arrays.names if given not in self.taken]


def _at_its_place(found: Pair, name: str) -> Pair:
    """The pair of an array's part with the layer that usually has its place, and not with the one it is equal to."""
    words = f"{found.form}, which the reference has in {found.ours}" if found.ours != name else found.form
    return replace(found, ours=name, sure="likely", recipe=replace(found.recipe, words=words))
