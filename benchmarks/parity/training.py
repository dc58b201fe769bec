"""Gates 2 to 4: the terms of the loss, the gradient of every parameter, and the first steps of the optimizer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.parity.case import Arrays, Case
from benchmarks.parity.choices import Choices
from benchmarks.parity.difference import FLOOR
from benchmarks.parity.finding import Finding
from benchmarks.parity.judge import Tolerances, judge
from common.families import family_of
from common.files import atomic_path
from common.training.choices import Choose
from common.training.schedules import learning_rate

LOSSES, GRADIENTS, STEPS = 2, 3, 4
# Norms that train on few images let rounding grow about tenfold a step. Once the reference's losses in float32 and in
# float64 have parted so far, nothing can be told of anybody's.
CHAOS = 1e-3
LEAPS = 4.0  # times what rounding did to any parameter of the kind is allowed to each: see Tolerances.elsewhere


def record(case: Case, learner: Any, folder: Path, gates: Sequence[int]) -> None:
    """Writes the reference's values of these gates; the learner's weights have moved afterwards."""
    for part, arrays in _compute_parts(case, learner, folder, gates, _choices(case, folder).recording):
        with atomic_path(folder / f"{part}.npz") as path:
            np.savez(path, **arrays)


def measure(case: Case, exact: Any, folder: Path, tolerances: Tolerances, gates: Sequence[int]) -> None:
    """Keeps the errors of what `record` wrote; exact: the reference's learner in float64."""
    choices = _choices(case, folder)
    for part, arrays in _compute_parts(case, exact, folder, gates, choices.handing_over):
        gate, step = _gate_and_step(part)
        with np.load(folder / f"{part}.npz") as rounded:
            for name, value in arrays.items():
                tolerances.measure(Tolerances.key(gate, name, step=step), value, rounded[name])
    choices.measure(tolerances)


def compare(case: Case, learner: Any, folder: Path, tolerances: Tolerances, gates: Sequence[int]) -> list[Finding]:
    """Compares every loss, gradient and updated weight with the reference's, as far as these gates look at them."""
    start = case.weights(folder)
    findings, choices = [], _choices(case, folder)
    for part, arrays in _compute_parts(case, learner, folder, gates, choices.handing_over):
        if part == "losses":
            findings += choices.findings(tolerances)
        gate, step = _gate_and_step(part)
        if part.startswith("losses_") and _is_chaotic(tolerances, step, arrays):
            detail = f"the first {step - 1} of {case.steps}; then the reference's own rounding exceeds {CHAOS:g}"
            findings.append(Finding(STEPS, "steps", "update", verdict="passed", step=step - 1, detail=detail))
            break
        with np.load(folder / f"{part}.npz") as reference:
            for name in dict.fromkeys([*reference.files, *arrays]):
                expected, found = reference.get(name), arrays.get(name)
                leaps = tuple(LEAPS * error for error in tolerances.largest_alike(gate, name, step))
                floor = _rounding_of_the_sum(reference, name) if part.startswith("losses_") and step > 1 else 0.0
                floors = tuple(max(leap, floor) for leap in leaps)
                finding = judge(tolerances, gate, name, _kind(part), expected, found, step=step, floor=floors)
                findings.append(_explain(finding, expected, found, start.get(name)))
    return _assign_roles(findings)


def _choices(case: Case, folder: Path) -> Choices:
    return Choices(folder, family_of(case.settings).parity.row_keys)


def _rounding_of_the_sum(losses: Mapping[str, np.ndarray], name: str) -> float:
    """Rounding of the whole loss, relative to one of its terms.

    Once the weights have moved, a tiny term is known no finer than that.
    """
    if name not in losses or not losses[name].all():
        return 0.0
    return FLOOR * abs(sum(term.item() for term in losses.values()) / losses[name].item())


def _is_chaotic(tolerances: Tolerances, step: int, losses: Arrays) -> bool:
    measured = (tolerances.get(Tolerances.key(STEPS, name, step=step)) for name in losses)
    return any(error.largest > CHAOS for error in measured)


def _compute_parts(
    case: Case, learner: Any, folder: Path, gates: Sequence[int], make_choose: Callable[[str], Choose]
) -> Iterator[tuple[str, Arrays]]:
    """Gives the values of each part in turn: losses and gradients of the first batch, then what each step leaves.

    gates: those that are asked for; nothing is computed for the others.
    make_choose: the name of a computation -> with what it goes on where it chooses.
    """
    batches = case.batches()
    first = next(batches)
    if LOSSES in gates or GRADIENTS in gates:
        losses, gradients = learner.gradients(first, choose=make_choose("gradients"))
        if LOSSES in gates:
            yield "losses", _name_losses(losses)
        if GRADIENTS in gates:
            yield "gradients", gradients
    if STEPS not in gates:
        return
    start = case.weights(folder)
    learner.load_weights(start)  # the norms' statistics may have moved
    for step, batch in enumerate(chain([first], batches), start=1):
        rate = learning_rate(case.settings.schedule, step - 1)
        losses = learner.train_step(batch, rate, choose=make_choose(f"step_{step}"))
        yield f"losses_{step}", _name_losses(losses)
        if step not in case.snapshots():
            continue
        weights = learner.weights()
        if step == 1:
            yield "memory_1", learner.optimizer_state()
            moves = {name: weights[name].astype(np.float64) - start[name] for name in learner.trainable()}
            yield "updates_1", {f"update of {name}": move for name, move in moves.items()}
        yield f"weights_{step}", weights


def _name_losses(losses: dict[str, float]) -> Arrays:
    """Terms by their names -> arrays (1,) by the names of findings."""
    return {f"loss.{name}": np.array([value]) for name, value in losses.items()}


def _gate_and_step(part: str) -> tuple[int, int | None]:
    """The gate that a part's values belong to, and after how many optimizer steps they are taken."""
    word, _, step = part.partition("_")
    if step:
        return STEPS, int(step)
    return (LOSSES if word == "losses" else GRADIENTS), None


def _kind(part: str) -> str:
    kinds = {"losses": "loss", "gradients": "gradient", "memory": "momentum", "updates": "update", "weights": "weight"}
    return kinds[part.partition("_")[0]]


def _explain(
    finding: Finding, reference: np.ndarray | None, other: np.ndarray | None, start: np.ndarray | None
) -> Finding:
    """Adds to a failure what only training can tell: a parameter trained on one side alone, or one that stood still.

    reference, other: the values after the step, or None where a side has none; start: the weight before the first step.
    """
    if not finding.failed:
        return finding
    if finding.pattern == "missing" and finding.kind in ("gradient", "update"):
        where = ("stands still here and is trained in the reference", "is trained here, and not in the reference")
        return replace(
            finding,
            pattern="trained or not",
            detail=where[reference is None],
            usual_cause="a layer that is frozen in one and trained in the other",
        )
    if finding.kind == "weight" and start is not None and np.array_equal(other, start):
        return replace(
            finding,
            pattern="did not move",
            detail="as it was before the first step",
            usual_cause="a statistic that is not kept up, or a parameter that no optimizer group holds",
        )
    return finding


def _assign_roles(findings: list[Finding]) -> list[Finding]:
    """Makes every failure of the first gate that fails, in the first step that fails, a cause; the others follow."""
    failed = [(finding.gate, finding.step or 0) for finding in findings if finding.failed]
    first = min(failed, default=None)
    return [
        finding
        if not finding.failed
        else replace(finding, role="cause" if (finding.gate, finding.step or 0) == first else "consequence")
        for finding in findings
    ]
