"""Gate 4 of two dumps: what each of the optimizer's steps did to the weights and the statistics.

Two runs part after some steps, however right both are. So the rule is read from the reference's steps, and each step of
the port is held against what that rule makes of the port's own weights, gradient and rate. Where no rule explains the
reference, and for statistics, which no gradient moves, the updates themselves are compared, as long as both runs are in
one state.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.foreign.arrays import NamedArrays
from benchmarks.foreign.dump import Dump, Step
from benchmarks.foreign.hypotheses.explain import explain_statistic
from benchmarks.foreign.measure import Measure
from benchmarks.foreign.optimizers import Move, Rule, read_rule
from benchmarks.foreign.pairing import Pair, brought
from benchmarks.parity.difference import difference, measure_scale
from benchmarks.parity.finding import Finding
from benchmarks.parity.judge import Judge
from benchmarks.parity.tolerances import MOST, SUM_FLOOR, UNIT, Tolerances
from benchmarks.parity.training import explain_training

GATE = 4
SAME_STATE = 1e-5  # relative; weights before a step that differ by more are those of runs that have parted
# What the frameworks call a norm's statistics.
_STATISTICS = ("running_mean", "running_var", "moving_mean", "moving_variance")
_ROUNDINGS = 8  # of a weight, that an update and what is made of the one before may be off


@dataclass(frozen=True)
class _Side:
    """One dump's steps by the reference's names and shapes. moves: of the parameters that have gradients."""

    moves: Mapping[str, list[Move]]
    before: list[dict[str, np.ndarray]]
    updates: list[dict[str, np.ndarray]]


def compare_steps(reference: Dump, other: Dump, measure: Measure, pairs: Sequence[Pair]) -> list[Finding]:
    """The findings of every step that both have, in their order; the first step that fails has the causes."""
    count = min(len(reference.steps), len(other.steps))
    ours_of, theirs_of = reference.steps[:count], other.steps[:count]
    shapes = ours_of[0].before.shapes
    rates = [step.rate for step in ours_of]
    known = [found for found in pairs if found.compared]
    ours = _side(ours_of, rates, [Pair(found.ours, (found.ours,), "path", "sure") for found in known], shapes)
    own_rates = [step.rate or rate for step, rate in zip(theirs_of, rates, strict=True)]
    theirs = _side(theirs_of, own_rates, known, shapes)
    findings, by_rule = _rates(ours_of, theirs_of, measure), _judge_by_rule(ours, theirs, measure)
    for step in range(count):
        findings += [each for each in by_rule if each.step == step + 1]
        if _same_state(step, ours, theirs):
            done = {each.name for each in by_rule}
            left = [name for name in ours.updates[step] if name in theirs.updates[step]]
            left = [name for name in left if f"update of {name}" not in done]
            findings += [_judge_update(name, step, ours, theirs, measure) for name in left]
            findings += _losses(ours_of[step], theirs_of[step], measure) if step else []
    first = min((finding.step for finding in findings if finding.failed), default=0)
    return [
        replace(finding, role="cause" if finding.step == first else "consequence") if finding.failed else finding
        for finding in findings
    ]


def _side(
    steps: Sequence[Step], rates: Sequence[float | None], pairs: Sequence[Pair], shapes: Mapping[str, tuple[int, ...]]
) -> _Side:
    """rates: of each step; where nothing says them they are counted as 1."""
    moves: dict[str, list[Move]] = {}
    before: list[dict[str, np.ndarray]] = []
    updates: list[dict[str, np.ndarray]] = []
    ended: dict[str, np.ndarray] = {}
    for step, rate in zip(steps, rates, strict=True):
        start, end, gradients = (
            _brought_all(pairs, arrays, shapes) for arrays in (step.before, step.after, step.gradients)
        )
        before.append(start)
        updates.append({name: end[name] - start[name] for name in start if name in end})
        for name, gradient in gradients.items():
            if name in updates[-1]:
                continues = name in ended and np.array_equal(ended[name], start[name])
                memory = {} if continues else _memory(step, pairs, shapes, name)
                arrays = (array.reshape(-1) for array in (start[name], gradient, updates[-1][name]))
                moves.setdefault(name, []).append(Move(*arrays, rate or 1.0, step.count, continues, memory))
        ended = end
    complete = {name: each for name, each in moves.items() if len(each) == len(steps)}
    return _Side(complete, before, updates)


def _memory(
    step: Step, pairs: Sequence[Pair], shapes: Mapping[str, tuple[int, ...]], name: str
) -> dict[str, np.ndarray]:
    """The optimizer's memory of a parameter before a step, by slot, where that is said."""
    slots = step.memory_before
    found = {}
    for slot in {each.partition("/")[0] for each in slots.names}:
        arrays = _brought_all([each for each in pairs if each.ours == name], slots.below(f"{slot}/"), shapes)
        found |= {slot: arrays[name].reshape(-1)} if name in arrays else {}
    return found


def _brought_all(
    pairs: Sequence[Pair], arrays: NamedArrays, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    """The arrays by the reference's names and in its shapes, as float64, but those that no form brings there."""
    found = {}
    for each in pairs:
        if each.ours in shapes and all(part in arrays for part in each.theirs):
            array = brought(each, arrays, shapes[each.ours])
            if array is not None:
                found[each.ours] = array.astype(np.float64)
    return found


def _explains(rule: Rule, name: str, moves: Sequence[Move]) -> bool:
    """Whether the rule that was read from the reference's moves is what they follow."""
    made = np.concatenate(rule.updates(name, moves))
    moved = np.concatenate([move.update for move in moves])
    return float(np.linalg.norm(made - moved)) <= MOST * float(np.linalg.norm(moved)) / 4


def _judge_by_rule(ours: _Side, theirs: _Side, measure: Measure) -> list[Finding]:
    """Holds a port's updates against what the reference's rule makes of the port's own state.

    Parameters whose steps no rule explains, in the reference, have no finding.
    """
    if not ours.moves or not theirs.moves:
        return []
    rule, findings = read_rule(ours.moves), []
    own_rule = read_rule(theirs.moves, rule.form)
    for name in (name for name in ours.moves if name in theirs.moves and _explains(rule, name, ours.moves[name])):
        made, expected = rule.updates(name, ours.moves[name]), rule.updates(name, theirs.moves[name])
        for step, (of_reference, of_port) in enumerate(zip(made, expected, strict=True)):
            finding = _judge_step(name, step, of_reference, of_port, ours, theirs, measure)
            findings.append(_explained(finding, rule, own_rule) if finding.failed else finding)
    return findings


def _judge_step(
    name: str, step: int, made: np.ndarray, expected: np.ndarray, ours: _Side, theirs: _Side, measure: Measure
) -> Finding:
    """One update of a port by the rule. made, expected: what the rule makes of the reference's state and the port's."""
    update, found = ours.updates[step][name], f"update of {name}"
    tolerances = Tolerances()
    tolerances.measure_perturbed(Tolerances.key(GATE, found, "injected", step + 1), made.reshape(update.shape), update)
    expected = expected.reshape(update.shape)
    floor = _floor(theirs.before[step][name], expected, measure)
    judge = Judge(tolerances, measure.departures)
    return judge(GATE, found, "update", expected, theirs.updates[step][name], "injected", step + 1, floor)


def _judge_update(name: str, step: int, ours: _Side, theirs: _Side, measure: Measure) -> Finding:
    """Holds a port's update against the reference's, of a step that both began in one state."""
    array, found = ours.updates[step][name], f"update of {name}"
    judge = measure.judge(GATE, found, array, _updates_of_runs(name, step, measure), step=step + 1)
    floor = _floor(ours.before[step][name], array, measure)
    finding = judge(GATE, found, "update", array, theirs.updates[step][name], step=step + 1, floor=floor)
    own = theirs.updates[step][name]
    if finding.failed and array.any() != own.any() and name in theirs.moves:
        return explain_training(finding, bool(own.any()))
    if finding.failed and not own.any():
        return replace(
            finding,
            pattern="did not move",
            detail="as it was before the step",
            usual_cause="a statistic that is not kept up, or a parameter that no optimizer group holds",
            second_cause="",
        )
    if finding.failed and name.endswith(_STATISTICS):
        before = ours.before[step][name]
        return explain_statistic(finding, before, before + array, before + own)
    return finding


def _updates_of_runs(name: str, step: int, measure: Measure) -> list[NamedArrays]:
    """The update in the other runs of the reference, each by the name of its finding."""
    found = []
    for run in measure.runs:
        if step < len(run.steps) and name in run.steps[step].before and name in run.steps[step].after:
            each = run.steps[step]
            update = each.after.array(name).astype(np.float64) - each.before.array(name)
            found.append(
                NamedArrays(each.file.source, {f"update of {name}": update.shape}, lambda _, held=update: held)
            )
    return found


def _floor(weight: np.ndarray, update: np.ndarray, measure: Measure) -> tuple[float, float]:
    """What is allowed in any case: an update is the difference of weights, which are rounded."""
    scale, moved = measure_scale(weight), measure_scale(update)
    rounding = _ROUNDINGS * UNIT
    return tuple(
        max(SUM_FLOOR, each, least)
        for each, least in zip(
            (rounding * scale.largest / moved.largest, rounding * scale.rms / moved.rms), measure.floor, strict=True
        )
    )


def _explained(finding: Finding, rule: Rule, own: Rule) -> Finding:
    """Says of an update that the rule does not make which rule the port's follow."""
    name = finding.name.removeprefix("update of ")
    cause = f"{own.words(name)}; the reference: {rule.words(name)}"
    return replace(finding, usual_cause=cause, second_cause="")


def _same_state(step: int, ours: _Side, theirs: _Side) -> bool:
    """Whether both runs begin a step with the same weights."""
    return all(
        difference(array, theirs.before[step][each], SAME_STATE).frobenius <= SAME_STATE
        for each, array in ours.before[step].items()
        if each in theirs.before[step]
    )


def _losses(ours: Step, theirs: Step, measure: Measure) -> list[Finding]:
    """A finding for each term of the loss of a step that both began in one state."""
    findings, at = [], ours.number - 1
    others = [run.steps[at].losses for run in measure.runs if at < len(run.steps)]
    for name in ours.losses.names:
        if name in theirs.losses:
            array = ours.losses.array(name)
            judge = measure.judge(GATE, name, array, others, step=ours.number)
            floor = tuple(max(SAME_STATE, least) for least in measure.floor)
            findings.append(judge(GATE, name, "loss", array, theirs.losses.array(name), step=ours.number, floor=floor))
    return findings


def _rates(ours: Sequence[Step], theirs: Sequence[Step], measure: Measure) -> list[Finding]:
    """A finding for the learning rate of each step that both say."""
    judge, findings = Judge(Tolerances(), measure.departures), []
    for step, other in zip(ours, theirs, strict=True):
        if step.rate is not None and other.rate is not None:
            rates = np.array([step.rate]), np.array([other.rate])
            findings.append(judge(GATE, "learning rate", "rate", *rates, step=step.number, floor=(1e-5, 1e-5)))
    return findings
