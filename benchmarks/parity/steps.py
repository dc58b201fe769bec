"""Gate 4, and with it gates 2 and 3: what each of the optimizer's steps leaves.

Injected, every step begins with the reference's weights, statistics and memory, so that nothing that happened before
reaches it. Accumulated, a wing goes on from its own state, as long as rounding lets anything be told of the losses.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.parity import training
from benchmarks.parity.case import FEWEST_STEPS, Arrays, Case
from benchmarks.parity.difference import measure_scale
from benchmarks.parity.finding import Finding
from benchmarks.parity.judge import Judge
from benchmarks.parity.perturbing import perturb_image, perturb_weights
from benchmarks.parity.tolerances import SUM_FLOOR, UNIT, Tolerances
from benchmarks.parity.training import (
    choices_of,
    excuse_leaps,
    explain_training,
    name_losses,
    part_of,
    save_arrays,
    sum_of,
)
from common.files import write_json
from common.training.choices import Choose
from common.training.schedules import learning_rate

GATE = 4
# Steps that a wing goes on its own are compared by their losses, with this tolerance, as long as rounding moves these
# by a SAFETY-th of it at most: it grows tenfold a step where norms train on few images.
CHAOS, SAFETY = 1e-3, 4.0
_UPDATE = "update of "
Losses = list[dict[str, float]]  # the terms of each step


@dataclass(frozen=True)
class State:
    """What a step begins with or leaves: weights with statistics, and the optimizer's memory, all by their names."""

    weights: Arrays
    memory: Arrays


def record(case: Case, learner: Any, folder: Path) -> Losses:
    """Writes the state before the first step and after each; the learner is new, but for its weights."""
    losses, weights = [], case.weights(folder)
    learner.load_weights(weights)
    _save_state(folder, 0, State(weights, {}))
    write_json(folder / "trainable.json", learner.trainable())
    for step, batch, rate in _batches(case):
        gradients: Arrays = {}
        choose = choices_of(case, folder).recording(part_of(step))
        losses.append(learner.train_step(batch, rate, choose=choose, gradients=gradients))
        training.keep(folder, step, name_losses(losses[-1]) | gradients)
        _save_state(folder, step, State(learner.weights(), learner.optimizer_state()))
    write_json(folder / "losses.json", losses)
    return losses


def measure_perturbed(case: Case, learner: Any, folder: Path, tolerances: Tolerances) -> None:
    """Keeps what perturbing the state before each step does to it, and how many steps in a row can be compared."""
    losses = _read_losses(folder)
    for step, batch, rate in _batches(case):
        before, choices = _read_state(folder, step - 1), choices_of(case, folder)
        before = State(perturb_weights(before.weights, step), before.memory)
        choose = choices.handing_over(part_of(step))
        found, gradients = _step_from(learner, before, perturb_image(batch, step), rate, choose)
        training.measure_look(folder, step, gradients, tolerances)
        if step == 1:
            choices.measure(tolerances)
        rounded = _recorded(folder, step, losses)
        for name, value in found.items():
            key = Tolerances.key(GATE, name, "injected", step)
            tolerances.measure_perturbed(key, value, rounded[name], sum_of(name, rounded))
    tolerances.join_steps(GATE, "injected")
    # In as few steps as large models make nothing adds up, and each takes long.
    write_json(folder / "carried.json", 1 if case.steps <= FEWEST_STEPS else _count_carried(case, learner, folder))


def compare(case: Case, learner: Any, folder: Path, judge: Judge) -> tuple[list[Finding], Losses]:
    """The findings of gates 2 to 4, and the losses of the steps that the wing went on its own.

    learner: new, but for its weights. The first step is the same in both modes, and is made once.
    """
    accumulated, losses = [], []
    carried, first = json.loads((folder / "carried.json").read_text()), None
    choices, start = choices_of(case, folder), _read_state(folder, 0)
    learner.load_weights(start.weights)
    for step, batch, rate in _batches(case):
        if step > carried:
            break
        gradients: Arrays = {}
        choose = choices.handing_over(part_of(step))  # whose findings are those of the first step
        losses.append(learner.train_step(batch, rate, choose=choose, gradients=gradients))
        if step == 1:
            first = _arrays_of(losses[0], start, _state_of(learner)), name_losses(losses[0]) | gradients
        else:
            accumulated += _judge_losses(judge, losses[-1], _read_losses(folder)[step - 1], step)
    accumulated.append(_remark(case, carried))
    return [*choices.findings(judge), *_compare_injected(case, learner, folder, judge, first), *accumulated], losses


def _compare_injected(
    case: Case, learner: Any, folder: Path, judge: Judge, first: tuple[Arrays, Arrays]
) -> list[Finding]:
    """Every step from the reference's state before it; first: what `_step_from` gives of the wing's first step.

    Gates 2 and 3 are the first step's; the others tell whether a gradient leapt in it alone.
    """
    findings, of_gradients, losses = [], [], _read_losses(folder)
    excesses, excesses_of_gradients = training.Excesses(), training.Excesses()
    for step, batch, rate in _batches(case):
        before, (found, gradients) = _read_state(folder, step - 1), first
        if step > 1:
            choose = choices_of(case, folder).handing_over(part_of(step))
            found, gradients = _step_from(learner, before, batch, rate, choose)
        judged = training.judge_look(judge if step == 1 else judge.in_short(), folder, step, gradients)
        excesses_of_gradients.add(judged)
        of_gradients = of_gradients or judged
        reference = _recorded(folder, step, losses)
        of_step = _judge_step(judge, step, before.weights, reference, found)
        excesses.add(of_step)
        findings += of_step
    of_gradients = excuse_leaps(of_gradients, excesses_of_gradients, case.steps)
    findings = excuse_leaps(findings, excesses, case.steps)
    trained_here, trained = set(learner.trainable()), set(json.loads((folder / "trainable.json").read_text()))
    return of_gradients + [_explain(finding, trained_here, trained) for finding in findings]


def _judge_step(judge: Judge, step: int, weights: Arrays, reference: Arrays, found: Arrays) -> list[Finding]:
    """Holds what a step left against what the reference's left; weights: those before it."""
    findings = []
    for name in dict.fromkeys([*reference, *found]):
        expected, own = reference.get(name), found.get(name)
        floor = (0.0, 0.0) if expected is None else _floor(name, expected, weights)
        finding = judge(GATE, name, _kind(name), expected, own, mode="injected", step=step, floor=floor)
        if finding.failed and finding.kind == "update" and own is not None and not own.any():
            finding = replace(
                finding,
                pattern="did not move",
                detail="as it was before the step",
                usual_cause="a statistic that is not kept up, or a parameter that no optimizer group holds",
            )
        findings.append(finding)
    return findings


def _floor(name: str, reference: np.ndarray, weights: Arrays) -> tuple[float, float]:
    """What is allowed in any case, as `largest` and `frobenius`; weights: those before the step.

    A loss has no more than any value, all else is made of sums. An update is the difference of weights, which both
    sides round: that is a unit in the last place of them, relative to the update.
    """
    if name.startswith("loss."):
        return 0.0, 0.0
    if not name.startswith(_UPDATE):
        return SUM_FLOOR, SUM_FLOOR
    scale, moved = measure_scale(weights[name.removeprefix(_UPDATE)]), measure_scale(reference)
    return max(SUM_FLOOR, UNIT * scale.largest / moved.largest), max(SUM_FLOOR, UNIT * scale.rms / moved.rms)


def _step_from(learner: Any, before: State, batch: Arrays, rate: float, choose: Choose) -> tuple[Arrays, Arrays]:
    """What one step from a state leaves, and its losses and gradients, both by the names of findings."""
    gradients: Arrays = {}
    learner.load_weights(before.weights)
    learner.load_optimizer_state(before.memory)
    losses = learner.train_step(batch, rate, choose=choose, gradients=gradients)
    return _arrays_of(losses, before, _state_of(learner)), name_losses(losses) | gradients


def _arrays_of(losses: dict[str, float], before: State, after: State) -> Arrays:
    """The losses of a step, the memory after it, and how far it moved each weight and statistic."""
    return name_losses(losses) | after.memory | _updates(before.weights, after.weights)


def _updates(before: Arrays, after: Arrays) -> Arrays:
    return {f"{_UPDATE}{name}": after[name].astype(np.float64) - before[name] for name in after}


def _count_carried(case: Case, learner: Any, folder: Path) -> int:
    """For how many steps the losses stay near, going on from a perturbed start: for the first at least."""
    losses, carried = _read_losses(folder), 0
    learner.load_weights(perturb_weights(case.weights(folder), 0))
    learner.load_optimizer_state({})
    for step, batch, rate in _batches(case):
        choose = choices_of(case, folder).handing_over(part_of(step))
        own = learner.train_step(perturb_image(batch, 0), rate, choose=choose)
        reference = losses[step - 1]
        error = max(abs(own[name] - value) / (abs(value) or 1.0) for name, value in reference.items())
        if carried and error > CHAOS / SAFETY:
            break
        carried = step
    return carried


def _judge_losses(judge: Judge, own: dict[str, float], reference: dict[str, float], step: int) -> list[Finding]:
    ours, theirs = name_losses(reference), name_losses(own)
    return [
        judge(GATE, name, "loss", ours.get(name), theirs.get(name), step=step, floor=(CHAOS, CHAOS))
        for name in dict.fromkeys(ours | theirs)
    ]


def _remark(case: Case, carried: int) -> Finding:
    detail = f"{case.steps} of {case.steps} from the reference's own state, {carried} in a row"
    if case.steps > FEWEST_STEPS and carried < case.steps:
        detail += f"; after that rounding alone moves the losses by more than {CHAOS / SAFETY:g}"
    return Finding(GATE, "steps", "update", verdict="passed", step=carried, detail=detail)


def _explain(finding: Finding, trained_here: set[str], trained: set[str]) -> Finding:
    """Says of a failure whether its parameter is trained on one side alone; trained: what the reference trains."""
    name = finding.name.removeprefix(_UPDATE).rpartition("/")[2]
    if not finding.failed or name not in trained_here ^ trained:
        return finding
    return explain_training(finding, name in trained_here)


def _kind(name: str) -> str:
    if name.startswith("loss."):
        return "loss"
    return "update" if name.startswith(_UPDATE) else "momentum"


def _batches(case: Case) -> Iterator[tuple[int, Arrays, float]]:
    """The number of each step, counted from 1, its batch and its learning rate."""
    for step, batch in enumerate(case.batches(case.steps), start=1):
        yield step, batch, learning_rate(case.settings.schedule, step - 1)


def _recorded(folder: Path, step: int, losses: Losses) -> Arrays:
    """What the reference's step left, by the names of findings."""
    return _arrays_of(losses[step - 1], _read_state(folder, step - 1), _read_state(folder, step))


def _state_of(learner: Any) -> State:
    return State(learner.weights(), learner.optimizer_state())


def _state_path(folder: Path, step: int) -> Path:
    return folder / "states" / f"{step}.npz"


def _save_state(folder: Path, step: int, state: State) -> None:
    named = {f"weights {name}": array for name, array in state.weights.items()}
    save_arrays(_state_path(folder, step), named | {f"memory {name}": array for name, array in state.memory.items()})


def _read_state(folder: Path, step: int) -> State:
    with np.load(_state_path(folder, step)) as stored:
        parts = {
            part: {name.removeprefix(part): stored[name] for name in stored.files if name.startswith(part)}
            for part in ("weights ", "memory ")
        }
    return State(parts["weights "], parts["memory "])


def _read_losses(folder: Path) -> Losses:
    return json.loads((folder / "losses.json").read_text())
