"""Holds one dump against another at every gate that both have something for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from benchmarks.foreign.arrays import NamedArrays
from benchmarks.foreign.detecting import compare_results
from benchmarks.foreign.dump import Dump
from benchmarks.foreign.layer_weights import LayerWeights
from benchmarks.foreign.layers import compare_layers, explain_layer
from benchmarks.foreign.learning import compare_gradients, compare_losses
from benchmarks.foreign.measure import Measure
from benchmarks.foreign.pairing import Pair, pair
from benchmarks.foreign.parameters import blame_weights, pair_parameters
from benchmarks.foreign.preparing import compare_prepared, differing_input, why_not_prepared
from benchmarks.foreign.rules import Rules, check_rules, read_rules
from benchmarks.foreign.stepping import compare_steps
from benchmarks.parity.finding import TITLES, Finding, Run
from common.errors import UserError

# What a dump has for each gate but gate 0: the property, and the words for it.
_PARTS = {
    1: ("layers", "layers"),
    2: ("losses", "losses"),
    3: ("gradients", "gradients"),
    4: ("steps", "optimizer steps"),
    5: ("results", "results"),
}
NEITHER = "neither dump has anything for it"


@dataclass(frozen=True)
class Judgement:
    """What came of two dumps.

    pairs: of the arrays of each gate. weights: the pairs of the weights with which the layers were computed, where both
    dumps have some. not_judged: why a gate was not, by its number.
    """

    run: Run
    pairs: Mapping[int, Sequence[Pair]] = field(default_factory=dict)
    weights: Sequence[Pair] = ()
    not_judged: Mapping[int, str] = field(default_factory=dict)


def judge_dumps(reference: Dump, other: Dump, measure: Measure, gates: Sequence[int] = tuple(TITLES)) -> Judgement:
    """Puts a dump to the gates; what follows on a gate that failed is a consequence of it."""
    rules = read_rules(other.folder / "map.json")
    check_rules(rules, _all_names(reference), _all_names(other))
    run, pairs = Run(other.name, reference.name), {}
    not_judged = {gate: why for gate in gates if (why := _why_not(gate, reference, other))}
    if 0 in gates and 0 not in not_judged:
        run.findings += _with_causes(compare_prepared(reference, other, measure, rules))
    network = [gate for gate in gates if gate in (1, 2, 3) and gate not in not_judged]
    if network and (text := differing_input(reference, other, rules)):
        if not run.failures():
            raise UserError(text)
        not_judged |= dict.fromkeys(network, "the networks were given different inputs: mend the gate before first")
    pairings = _Pairings(reference, other, rules)
    comparisons = _comparisons(reference, other, measure, pairings, pairs)
    for gate in (gate for gate in gates if gate in comparisons and gate not in not_judged):
        found = comparisons[gate]()
        if gate in (2, 5):
            found = _with_causes(found)
        is_behind = gate != 4 and any(finding.gate > 0 for finding in run.failures())
        run.findings += [replace(each, role="consequence") if is_behind and each.failed else each for each in found]
        if not found:
            not_judged[gate] = "nothing of it could be compared"
    if not run.findings:
        raise UserError(f"nothing could be judged: {'; '.join(not_judged.values())}")
    weights = pairings.weights if pairings.both_have_weights and pairs.keys() & {1, 3} else ()
    return Judgement(run, pairs, weights, dict(sorted(not_judged.items())))


class _Pairings:
    """The pairs of two dumps' layers and of their weights, which several gates ask for: each is found once."""

    def __init__(self, reference: Dump, other: Dump, rules: Rules):
        self._reference, self._other, self.rules = reference, other, rules

    @property
    def both_have_weights(self) -> bool:
        return len(self._reference.parameters) > 0 and len(self._other.parameters) > 0

    @cached_property
    def layers(self) -> list[Pair]:
        weights = LayerWeights(self._reference.parameters, self._other.parameters)
        return pair(self._reference.layers, self._other.layers, self.rules, weights)

    @cached_property
    def weights(self) -> list[Pair]:
        return self.parameters(self._reference.parameters, self._other.parameters)

    def parameters(self, ours: NamedArrays, theirs: NamedArrays) -> list[Pair]:
        """The pairs of arrays that are called by parameters, such as gradients."""
        return pair_parameters(ours, theirs, self.layers, self.rules)


def _comparisons(
    reference: Dump, other: Dump, measure: Measure, pairings: _Pairings, pairs: dict[int, Sequence[Pair]]
) -> Mapping[int, Callable[[], list[Finding]]]:
    """The comparisons of gates 1 to 5, by gate; each leaves its pairs in `pairs`."""

    def layers() -> list[Finding]:
        ours, theirs = reference.layers, other.layers
        measure.check("layers", ours)
        pairs[1] = pairings.layers
        if not any(found.compared for found in pairs[1]):
            raise UserError(f"{theirs.source}: none of its layers is one of the reference's, {ours.source}")

        def judging(name: str, kind: str, array: np.ndarray, own: np.ndarray) -> Finding:
            judge = measure.judge(1, name, array, [run.layers for run in measure.runs])
            return judge(1, name, kind, array, own, floor=measure.floor)

        def explained(finding: Finding) -> Finding:
            finding = explain_layer(finding, pairs[1], reference, theirs)
            return blame_weights(finding, reference.parameters, other.parameters, pairings.weights)

        findings = compare_layers(pairs[1], ours, theirs, judging)
        return [explained(finding) if finding.role == "cause" else finding for finding in findings]

    def gradients() -> list[Finding]:
        # Weights were loaded into both networks and are equal; a gradient may be wrong.
        by_weights = pairings.both_have_weights
        pairs[3] = pairings.weights if by_weights else pairings.parameters(reference.gradients, other.gradients)
        return compare_gradients(reference, other, measure, pairs[3])

    def steps() -> list[Finding]:
        pairs[4] = pairings.parameters(reference.steps[0].before, other.steps[0].before)
        return compare_steps(reference, other, measure, pairs[4])

    return {
        1: layers,
        2: lambda: compare_losses(reference, other, measure, pairings.rules),
        3: gradients,
        4: steps,
        5: lambda: compare_results(reference, other, measure),
    }


def _why_not(gate: int, reference: Dump, other: Dump) -> str:
    """Why a gate cannot be judged; empty where it can."""
    if gate == 0:
        if reference.image is None and other.image is None:
            return NEITHER
        return why_not_prepared(reference, other)
    part, words = _PARTS[gate]
    lacking = [dump.name for dump in (reference, other) if not _has(getattr(dump, part), gate)]
    if len(lacking) == 2:
        return NEITHER
    return f"{lacking[0]} has no {words}" if lacking else ""


def _has(part: Any, gate: int) -> bool:
    """Whether a dump has something for a gate; no detections are results, too."""
    return part is not None if gate == 5 else len(part) > 0


def _with_causes(findings: list[Finding]) -> list[Finding]:
    """The findings, of which each that fails is a cause by itself."""
    return [replace(finding, role="cause") if finding.failed else finding for finding in findings]


def _all_names(dump: Dump) -> list[str]:
    """Every name that a rule may speak of."""
    parts = [dump.preprocessed, dump.inputs, dump.layers, dump.losses, dump.parameters, dump.gradients]
    parts += [step.before for step in dump.steps[:1]]
    return list(dict.fromkeys(name for part in parts for name in part.names))
