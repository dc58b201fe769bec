"""Gates 2 and 3 of two dumps: the terms of the loss, and the gradients of the parameters."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.foreign.arrays import NamedArrays
from benchmarks.foreign.dump import Dump
from benchmarks.foreign.measure import Measure
from benchmarks.foreign.pairing import Pair, brought, pair
from benchmarks.foreign.rules import Rules
from benchmarks.parity.difference import measure_scale
from benchmarks.parity.finding import Finding
from benchmarks.parity.tolerances import SUM_FLOOR
from benchmarks.parity.training import explain_training, sum_of

LOSSES, GRADIENTS = 2, 3
_NOTHING = 1e-4  # of the gradient of a weight; its bias's that is smaller is what rounding leaves of zero


def compare_losses(reference: Dump, other: Dump, measure: Measure, rules: Rules) -> list[Finding]:
    """A finding for each term of the loss; a term that one of the two does not have has failed."""
    ours, theirs = reference.losses, other.losses
    measure.check("losses", ours)
    findings = []
    for found in _pair_terms(ours, theirs, rules):
        name = found.ours or found.theirs[0]
        array = ours.array(found.ours) if found.ours else None
        own = theirs.array(found.theirs[0]) if found.theirs else None
        others = [run.losses for run in measure.runs]
        judge = measure.judge(LOSSES, name, np.zeros(1) if array is None else array, others)
        findings.append(judge(LOSSES, name, "loss", array, own, floor=measure.floor))
    return findings


def _pair_terms(ours: NamedArrays, theirs: NamedArrays, rules: Rules) -> Iterator[Pair]:
    """The pairs of terms by name and by rule; of single numbers nothing else tells which belong together."""
    for found in pair(ours, theirs, rules):
        if found.way in ("path", "rule") or len(found.theirs) + bool(found.ours) == 1:
            if found.way != "left out":
                yield found
        else:
            yield Pair(found.ours, (), "missing")
            yield from (Pair("", (name,), "extra") for name in found.theirs)


def compare_gradients(reference: Dump, other: Dump, measure: Measure, pairs: Sequence[Pair]) -> list[Finding]:
    """A finding for each gradient, in the order of the parameters.

    The gradients are computed from the loss backwards: the causes are in the last layer that has one that fails.
    """
    ours, theirs = reference.gradients, other.gradients
    measure.check("gradients", ours)
    findings = []
    for found in pairs:
        if not found.compared or (found.ours not in ours and not any(part in theirs for part in found.theirs)):
            continue
        array = ours.array(found.ours) if found.ours in ours else None
        own = _brought_gradient(found, theirs, array)
        scale = sum_of(found.ours, _Readable(ours))
        others = [run.gradients for run in measure.runs]
        judge = measure.judge(GRADIENTS, found.ours, np.zeros(0) if array is None else array, others, scale)
        floor = _floor(array, scale, measure)
        finding = judge(GRADIENTS, found.ours, "gradient", array, own, floor=floor)
        is_missing = finding.pattern == "missing"
        findings.append(explain_training(finding, own is not None) if is_missing else finding)
    last = next((_layer(finding) for finding in reversed(findings) if finding.failed), None)
    return [
        replace(finding, role="cause" if _layer(finding) == last else "consequence") if finding.failed else finding
        for finding in findings
    ]


def _layer(gradient: Finding) -> str:
    return gradient.name.rpartition(".")[0]


def _brought_gradient(found: Pair, theirs: NamedArrays, array: np.ndarray | None) -> np.ndarray | None:
    """The port's gradient in the reference's shape, or in its own where no form fits; None where it has none."""
    if not all(part in theirs for part in found.theirs):
        return None
    own = None if array is None else brought(found, theirs, array.shape)
    return theirs.array(found.theirs[0]) if own is None else own


def _floor(
    array: np.ndarray | None, sum_of_values: tuple[str, np.ndarray] | None, measure: Measure
) -> tuple[float, float]:
    """What a gradient may be off in any case.

    sum_of_values: of a bias the weight's name and gradient. A bias in front of a norm has a gradient of rounding alone,
    which no measurement shows where a tolerance is given in its place.
    """
    least = max(SUM_FLOOR, measure.floor[0])
    if array is not None and sum_of_values is not None and not measure.runs:
        share = measure_scale(array).largest / measure_scale(sum_of_values[1]).largest
        least = least / share if share < _NOTHING else least
    return least, least


class _Readable:
    """Arrays by `name in arrays` and `arrays[name]`."""

    def __init__(self, arrays: NamedArrays):
        self._arrays = arrays

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays.array(name)
