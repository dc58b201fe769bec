"""Gate 4 of two dumps: what each of the optimizer's steps did to the weights and the statistics.

Two runs part after some steps, however right both are. So the rule is read from the reference's steps, and each step of
the port is held against what that rule makes of the port's own weights, gradient and rate. Where no rule explains the
reference, and for statistics, which no gradient moves, the updates themselves are compared, as long as both runs are in
one state.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks.foreign.arrays import NamedArrays
from benchmarks.foreign.dump import Dump, Step
from benchmarks.foreign.hypotheses.explain import explain_statistic
from benchmarks.foreign.measure import Measure
from benchmarks.foreign.optimizers import Move, Rule, State, read_rule, sample
from benchmarks.foreign.pairing import Pair, brought
from benchmarks.parity.difference import difference, measure_scale
from benchmarks.parity.finding import Finding
from benchmarks.parity.judge import Judge
from benchmarks.parity.tolerances import MOST, SUM_FLOOR, UNIT, Tolerances
from benchmarks.parity.training import explain_training

GATE = 4
SAME_STATE = 1e-5  # relative; weights before a step that differ by more are those of runs that have parted
_KEPT = 1 << 22  # values of a dump's moves from which its rule is read, of all parameters and steps together
_FEWEST = 64  # of them for each move
# What the frameworks call a norm's statistics.
_STATISTICS = ("running_mean", "running_var", "moving_mean", "moving_variance")
_ROUNDINGS = 8  # of a weight, that an update and what is made of the one before may be off


@dataclass(frozen=True)
class _Moved:
    """What one step did, by the reference's names and in its shapes. moves: of the parameters that have gradients."""

    before: Mapping[str, np.ndarray]
    updates: Mapping[str, np.ndarray]
    moves: Mapping[str, Move]


@dataclass(frozen=True)
class _Side:
    """The steps of one dump, which are read one after another: those of a long run have no room in memory together.

    rates: of each step; where nothing says them they are counted as 1. pairs: from the reference's names to the dump's.
    """

    steps: Sequence[Step]
    rates: Sequence[float | None]
    pairs: Sequence[Pair]
    shapes: Mapping[str, tuple[int, ...]]

    def __iter__(self) -> Iterator[_Moved]:
        ended: dict[str, np.ndarray] = {}
        for step, rate in zip(self.steps, self.rates, strict=True):
            start, end, gradients = (
                _brought_all(self.pairs, arrays, self.shapes) for arrays in (step.before, step.after, step.gradients)
            )
            updates, moves = {name: end[name] - start[name] for name in start if name in end}, {}
            for name in (name for name in gradients if name in updates):
                continues = name in ended and np.array_equal(ended[name], start[name])
                memory = {} if continues else _memory(step, self.pairs, self.shapes, name)
                arrays = (array.reshape(-1) for array in (start[name], gradients[name], updates[name]))
                moves[name] = Move(*arrays, rate or 1.0, step.count, continues, memory)
            ended = end
            yield _Moved(start, updates, moves)

    def sampled_moves(self) -> dict[str, list[Move]]:
        """A sample of every move of the parameters that have one in each step."""
        size = _KEPT // max(1, len(self.steps) * len(self.shapes))
        found: dict[str, list[Move]] = {}
        for moved in self:
            for name, move in moved.moves.items():
                found.setdefault(name, []).append(sample(move, max(size, _FEWEST)))
        return {name: moves for name, moves in found.items() if len(moves) == len(self.steps)}


@dataclass(frozen=True)
class _Rules:
    """The rule of each side. explained: the parameters whose steps the reference's rule explains, in the reference.

    moving: those that have a gradient in each of the port's steps. states: what the rule's next update of a parameter
    needs of those before it, of the reference and the port.
    """

    reference: Rule | None
    port: Rule | None
    explained: Sequence[str]
    moving: Container[str]
    states: tuple[dict[str, State], dict[str, State]] = field(default_factory=lambda: ({}, {}))

    def make(self, side: int, name: str, moved: _Moved) -> np.ndarray:
        """What the reference's rule makes of a parameter in the next step of a side, 0 for the reference's."""
        made, self.states[side][name] = self.reference.update(name, moved.moves[name], self.states[side].get(name))
        return made.reshape(moved.updates[name].shape)


def compare_steps(reference: Dump, other: Dump, measure: Measure, pairs: Sequence[Pair]) -> list[Finding]:
    """The findings of every step that both have, in their order; the first step that fails has the causes."""
    count = min(len(reference.steps), len(other.steps))
    ours_of, theirs_of = reference.steps[:count], other.steps[:count]
    shapes, rates = ours_of[0].before.shapes, [step.rate for step in ours_of]
    known = [found for found in pairs if found.compared]
    own_rates = [step.rate or rate for step, rate in zip(theirs_of, rates, strict=True)]
    ours = _Side(ours_of, rates, [Pair(found.ours, (found.ours,), "path", "sure") for found in known], shapes)
    theirs = _Side(theirs_of, own_rates, known, shapes)
    rules, findings = _read_rules(ours, theirs), _rates(ours_of, theirs_of, measure)
    for step, (mine, own) in enumerate(zip(ours, theirs, strict=True)):
        findings += [_judge_by_rule(name, step, mine, own, rules, measure) for name in rules.explained]
        if _same_state(mine, own):
            left = [name for name in mine.updates if name in own.updates and name not in rules.explained]
            findings += [_judge_update(name, step, mine, own, name in rules.moving, measure) for name in left]
            findings += _losses(ours_of[step], theirs_of[step], measure) if step else []
    first = min((finding.step for finding in findings if finding.failed), default=0)
    return [
        replace(finding, role="cause" if finding.step == first else "consequence") if finding.failed else finding
        for finding in findings
    ]


def _read_rules(ours: _Side, theirs: _Side) -> _Rules:
    """The rules by which the two sides move; without one where nothing has a gradient in every step."""
    moves, own = ours.sampled_moves(), theirs.sampled_moves()
    if not moves or not own:
        return _Rules(None, None, (), own)
    rule = read_rule(moves)
    explained = [name for name in moves if name in own and rule.leaves(name, moves[name]) <= MOST / 4]
    return _Rules(rule, read_rule(own, rule.form), explained, own)


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


def _judge_by_rule(name: str, step: int, ours: _Moved, theirs: _Moved, rules: _Rules, measure: Measure) -> Finding:
    """Holds one of a port's updates against what the reference's rule makes of the port's own state."""
    update, found = ours.updates[name], f"update of {name}"
    made, expected = rules.make(0, name, ours), rules.make(1, name, theirs)
    tolerances = Tolerances()
    tolerances.measure_perturbed(Tolerances.key(GATE, found, "injected", step + 1), made, update)
    floor = _floor(theirs.before[name], expected, measure)
    judge = Judge(tolerances, measure.departures)
    finding = judge(GATE, found, "update", expected, theirs.updates[name], "injected", step + 1, floor)
    if not finding.failed:
        return finding
    cause = f"{rules.port.words(name)}; the reference: {rules.reference.words(name)}"
    return replace(finding, usual_cause=cause, second_cause="")


def _judge_update(name: str, step: int, ours: _Moved, theirs: _Moved, is_moving: bool, measure: Measure) -> Finding:
    """Holds a port's update against the reference's, of a step that both began in one state.

    is_moving: whether the parameter has a gradient in each of the port's steps.
    """
    array, found = ours.updates[name], f"update of {name}"
    judge = measure.judge(GATE, found, array, _updates_of_runs(name, step, measure), step=step + 1)
    floor = _floor(ours.before[name], array, measure)
    own = theirs.updates[name]
    finding = judge(GATE, found, "update", array, own, step=step + 1, floor=floor)
    if finding.failed and array.any() != own.any() and is_moving:
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
        before = ours.before[name]
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


def _same_state(ours: _Moved, theirs: _Moved) -> bool:
    """Whether both runs begin a step with the same weights."""
    return all(
        difference(array, theirs.before[each], SAME_STATE).frobenius <= SAME_STATE
        for each, array in ours.before.items()
        if each in theirs.before
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
