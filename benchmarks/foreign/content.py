"""What two dumps' arrays hold, in short: enough to see which are equal or alike without reading them again and again.

Every array is read once. Two arrays of one dump are the same where they hold the same numbers to the last bit, in
whatever shape. Two of different dumps are equal where they differ by no more than arithmetic does, and alike where
they correlate.
"""

import math
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from benchmarks.foreign.reshaping import AS_IT_IS, Form, Shape, forms_between

SAMPLED = 1024  # values of an array by which it is compared with others
EQUAL = 1e-3  # of the norm: wider than any float32 arithmetic, and far below what tells two layers apart
ALIKE = 0.5  # the correlation from which on two arrays may be one layer's
FEWEST = 4  # values that an array needs for its content to say anything


class Arrays(Protocol):
    """What a dump offers for one gate.

    names: the paths of the layers (or of the terms or parameters), in the order of the computation. shapes: by name.
    kinds: the class of each layer, "Conv2d", as far as it is known.
    """

    names: Sequence[str]
    shapes: Mapping[str, Shape]
    kinds: Mapping[str, str]

    def array(self, name: str) -> np.ndarray:
        """The array of a name."""


@dataclass(frozen=True)
class Likeness:
    """How near an array is to another, brought to its shape by a form.

    distance: the norm of their difference, relative to the norm of the reference's. correlation: about their means.
    """

    distance: float
    correlation: float
    form: Form

    @property
    def equal(self) -> bool:
        return self.distance <= EQUAL

    @property
    def alike(self) -> bool:
        return self.equal or self.correlation >= ALIKE


def likeness(reference: np.ndarray, other: np.ndarray, given: Shape, wanted: Shape) -> Likeness | None:
    """How near one array comes to another by the form that brings it nearest; None where no form does.

    reference: the flat values of an array of the shape `wanted`; other: those of one of the shape `given`.
    """
    positions = sampled_positions(math.prod(wanted))
    sample = _clean(reference[positions])
    forms = forms_between(given, wanted)
    return nearest(sample, [_clean(other[form.sources(given, positions)]) for form in forms], forms)


def nearest(sample: np.ndarray, others: Sequence[np.ndarray], forms: Sequence[Form]) -> Likeness | None:
    """The nearest of several samples to one; others: a sample for each form."""
    found = [
        Likeness(_distance(sample, other), _correlation(sample, other), form)
        for other, form in zip(others, forms, strict=True)
    ]
    return min(found, key=lambda each: each.distance - each.correlation, default=None)


def sampled_positions(size: int) -> np.ndarray:
    """Positions in a flat array of so many values, irregular, so that they are not all of a few channels."""
    if size <= SAMPLED:
        return np.arange(size)
    return np.random.default_rng(size).integers(0, size, SAMPLED)


@dataclass(frozen=True)
class Content:
    """The contents of the arrays of one dump.

    digests: equal for arrays of the same numbers in any order. norms: the root of the mean square of the finite values.
    samples: for each name and each (shape, form) that the array may be brought to, the values at the positions that
    `sampled_positions` gives for it.
    """

    arrays: Arrays
    digests: Mapping[str, int]
    norms: Mapping[str, float]
    samples: Mapping[str, Mapping[tuple[Shape, Form], np.ndarray]]

    @cached_property
    def classes(self) -> list[list[str]]:
        """The names by content, in the order of the computation: those of a list hold the same numbers."""
        found: dict[tuple[int, int], list[str]] = defaultdict(list)
        for name in self.arrays.names:
            found[math.prod(self.arrays.shapes[name]), self.digests[name]].append(name)
        return list(found.values())


def read_content(arrays: Arrays, wanted: Iterable[Shape] = ()) -> Content:
    """The content of a dump's arrays; wanted: the shapes that they may have to be brought to, beside their own."""
    by_size: dict[int, list[Shape]] = defaultdict(list)
    for shape in dict.fromkeys(map(tuple, wanted)):
        by_size[math.prod(shape)].append(shape)
    digests, norms, samples = {}, {}, {}
    for name in arrays.names:
        array = np.asarray(arrays.array(name))
        shape, flat = tuple(array.shape), array.reshape(-1)
        digests[name] = digest(flat)
        norms[name] = _norm(flat)
        samples[name] = {
            (target, form): _clean(flat[form.sources(shape, sampled_positions(flat.size))])
            for target in dict.fromkeys((shape, *by_size[flat.size]))
            for form in forms_between(shape, target)
        }
    return Content(arrays, digests, norms, samples)


def compare(ours: Content, theirs: Content, name: str, given: str) -> Likeness | None:
    """How near an array of the port is to one of the reference; None where no form brings it to the same shape."""
    shape = tuple(ours.arrays.shapes[name])
    forms = forms_between(tuple(theirs.arrays.shapes[given]), shape)
    others = [theirs.samples[given][shape, form] for form in forms]
    return nearest(ours.samples[name][shape, AS_IT_IS], others, forms)


def equal_classes(ours: Content, theirs: Content) -> dict[str, list[str]]:
    """For each array of the reference those of the port that hold its numbers; none where no array does.

    Where the numbers of several are within arithmetic of it, only the nearest are, and only if none of the reference is
    nearer to these.
    """
    by_size: dict[int, list[list[str]]] = defaultdict(list)
    for members in theirs.classes:
        if says_something(theirs, members[0]):
            by_size[math.prod(theirs.arrays.shapes[members[0]])].append(members)
    near: list[tuple[float, int, list[str], list[str]]] = []
    for index, members in enumerate(ours.classes):
        if not says_something(ours, members[0]):
            continue
        norm = ours.norms[members[0]]
        for others in by_size[math.prod(ours.arrays.shapes[members[0]])]:
            if abs(theirs.norms[others[0]] - norm) <= 2 * EQUAL * norm:
                found = compare(ours, theirs, members[0], others[0])
                if found is not None and found.equal:
                    near.append((found.distance, index, members, others))
    equal: dict[str, list[str]] = {}
    taken: set[str] = set()
    for _, _, members, others in sorted(near, key=lambda each: each[:2]):
        if members[0] not in equal and others[0] not in taken:
            equal |= dict.fromkeys(members, others)
            taken.add(others[0])
    return equal


def passing_through(content: Content, paired: Container[str]) -> set[str]:
    """The arrays that hold the numbers of another of the same dump, which is paired or computed before them."""
    found = set()
    for members in content.classes:
        if says_something(content, members[0]):
            found |= set(members if any(name in paired for name in members) else members[1:])
    return found


def says_something(content: Content, name: str) -> bool:
    """Whether an array has values enough, and different ones, to be known by them."""
    sample = content.samples[name][tuple(content.arrays.shapes[name]), AS_IT_IS]
    return sample.size >= FEWEST and float(np.ptp(sample)) > 0.0


def digest(flat: np.ndarray) -> int:
    """A number that is the same for the same values in any order, and for almost no others."""
    bits = (flat.astype(np.float32) + np.float32(0)).view(np.uint32).astype(np.uint64)  # no -0
    mixed = bits * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return int(mixed.sum(dtype=np.uint64))


def _norm(flat: np.ndarray) -> float:
    values = _clean(flat)
    return math.sqrt(float(values @ values) / max(flat.size, 1))


def _clean(values: np.ndarray) -> np.ndarray:
    """The values in float64, those that are not finite as zero."""
    values = values.astype(np.float64)
    values[~np.isfinite(values)] = 0.0
    return values


def _distance(reference: np.ndarray, other: np.ndarray) -> float:
    norm = float(np.linalg.norm(reference))
    apart = float(np.linalg.norm(other - reference))
    return apart / norm if norm else (0.0 if apart == 0.0 else math.inf)


def _correlation(reference: np.ndarray, other: np.ndarray) -> float:
    """About the means; 0 where one of the two is constant."""
    one, two = reference - reference.mean(), other - other.mean()
    lengths = float(np.linalg.norm(one)) * float(np.linalg.norm(two))
    return float(one @ two) / lengths if lengths else 0.0
