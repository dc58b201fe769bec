"""What is known of a layer that departs, and how a hypothesis about it is tested."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from benchmarks.foreign.hypotheses.layouts import forms
from benchmarks.foreign.paths import layer_of
from benchmarks.parity.channels import energy
from benchmarks.parity.finding import Finding
from common.norm_names import CANONICAL

EXPLAINED = 0.98  # the share of the difference's energy that a hypothesis accounts for
SAME = 1e-6  # the share of the reference's own energy that its right formula leaves, for it is rounded to float32
ROUNDING = 1e-13  # the share of an array's energy that float32 and the order of a sum change
NEAREST = 12  # layers before the one that departs, of which each may be its input

MOST_HELD = 1 << 25  # values of those layers

# How a cause is known: it gives the port's answer from the reference's numbers, or was read from the port's answer,
# which it then fits in any case.
TEST, READ = "by test", "by its answer"

Option = TypeVar("Option")


@dataclass(frozen=True)
class Hypothesis:
    """A cause in words, what the port would have answered if it were the cause, and how it is known."""

    cause: str
    prediction: np.ndarray
    by: str = TEST


@dataclass(frozen=True)
class Evidence:
    """A layer that departs while nothing before it does.

    name, kind: its path and its class. reference, other: what it answers in the reference and in the port.
    before: the reference's layers before it by name, the nearest first, with the input of the network.
    parameters: all parameters of the reference by name, "conv1.weight"; empty where they are not known.
    """

    name: str
    kind: str
    reference: np.ndarray
    other: np.ndarray
    before: Mapping[str, np.ndarray] = field(default_factory=dict)
    parameters: Mapping[str, np.ndarray] = field(default_factory=dict)

    def own(self, path: str | None = None) -> dict[str, np.ndarray]:
        """The parameters of this layer, or of the one at `path`, by PyTorch's last part of their names."""
        path = layer_of(self.name if path is None else path)
        found = {}
        for name, array in self.parameters.items():
            owner, _, leaf = name.rpartition(".")
            if owner == path:
                found[CANONICAL.get(leaf, leaf)] = np.asarray(array, np.float64)
        return found

    def alike(self) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        """The other layers whose weight has the shape of this one's, with their parameters."""
        weight = self.own().get("weight")
        for path in dict.fromkeys(name.rpartition(".")[0] for name in self.parameters) if weight is not None else ():
            theirs = self.own(path)
            if path != self.name and "weight" in theirs and theirs["weight"].shape == weight.shape:
                yield path, theirs

    def inputs(self) -> Iterator[tuple[str, np.ndarray]]:
        """The arrays that may be this layer's input, the nearest first, in float64 and in each form."""
        for name, array in list(self.before.items())[:NEAREST]:
            if np.ndim(array) == 0 or np.size(array) == 0 or not np.isfinite(array).all():
                continue
            for x in forms(np.asarray(array, np.float64), np.shape(self.reference)):
                yield name, x


def gather(
    finding: Finding,
    reference: np.ndarray,
    other: np.ndarray,
    names: Sequence[str],
    array: Callable[[str], np.ndarray],
    inputs: Mapping[str, np.ndarray],
    parameters: Mapping[str, np.ndarray],
) -> Evidence:
    """What two dumps have about the layer of a finding.

    reference, other: its two arrays, in one shape if there is a form for that. names: the reference's layers in their
    order; array: reads one of them. inputs, parameters: the reference's; empty where it has none.
    """
    before, held = {}, 0
    for name in reversed(names[: list(names).index(finding.name)][-NEAREST:]):
        before[name] = array(name)
        held += before[name].size
        if held > MOST_HELD and len(before) > 1:
            break
    if len(before) < NEAREST and held <= MOST_HELD:
        before |= inputs
    return Evidence(finding.name, finding.kind, reference, other, before, parameters)


def crop(evidence: Evidence, values: int) -> Evidence:
    """The evidence of the first images alone, at least of one, with at most so many values of the answer."""
    if np.ndim(evidence.reference) < 2 or len(evidence.reference) != len(evidence.other):
        return evidence
    images, size = len(evidence.reference), evidence.reference.size
    first = slice(0, max(1, values * images // max(size, 1)))
    before = {name: x[first] if np.ndim(x) and len(x) == images else x for name, x in evidence.before.items()}
    return replace(evidence, reference=evidence.reference[first], other=evidence.other[first], before=before)


def left_by(wanted: np.ndarray, prediction: np.ndarray, extent: float) -> float:
    """The energy of `wanted` that a prediction leaves, as a share of `extent`; infinite where it is no such array."""
    if prediction.shape != wanted.shape or not np.isfinite(prediction).all():
        return np.inf
    return energy(np.asarray(wanted, np.float64) - prediction) / max(extent, 1e-300)


def settle(options: Iterable[tuple[Option, np.ndarray]], reference: np.ndarray) -> tuple[Option, np.ndarray] | None:
    """Of the options, each with what follows from it, the one that gives the reference; None where none does."""
    extent = energy(np.asarray(reference, np.float64))
    best, least = None, SAME
    for option, prediction in options:
        left = left_by(reference, prediction, extent)
        if left < least:
            best, least = (option, prediction), left
    return best


def tested(evidence: Evidence, hypotheses: Iterable[Hypothesis]) -> list[tuple[float, str]]:
    """(what it leaves unexplained, cause) of each hypothesis that gives the port's answer, the best first.

    One that changes nothing explains nothing: the difference from the reference is what has to be explained.
    """
    other = np.asarray(evidence.other, np.float64)
    if evidence.reference.shape == other.shape:
        extent = energy(other - evidence.reference)
    else:
        extent = energy(other - other.mean())
    with np.errstate(all="ignore"):
        found = [(left_by(other, guess.prediction, extent), f"{guess.by}: {guess.cause}") for guess in hypotheses]
    # What leaves rounding alone is as good as any other that does so; of those the first named is the simplest.
    rounding = ROUNDING * energy(other) / max(extent, 1e-300)
    return sorted(
        ((max(left, rounding), cause) for left, cause in found if left <= 1 - EXPLAINED), key=lambda it: it[0]
    )
