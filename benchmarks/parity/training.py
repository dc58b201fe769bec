"""Gates 2 to 4: the terms of the loss, the gradient of every parameter, and the first steps of the optimizer."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.parity.case import Arrays, Case, Exact
from benchmarks.parity.choices import Choices
from benchmarks.parity.difference import FLOOR
from benchmarks.parity.finding import Finding
from benchmarks.parity.judge import Tolerances, judge
from common.files import atomic_path
from common.training.schedules import learning_rate

LOSSES, GRADIENTS, STEPS = 2, 3, 4
# Norms that train on few images let rounding grow about tenfold a step. Once the reference's losses in float32 and in
# float64 have parted so far, nothing can be told of anybody's.
CHAOS = 1e-3
LEAPS = 4.0  # times what rounding did to any parameter of the kind is allowed to each: see Tolerances.elsewhere


def record(case: Case, learner: Any, folder: Path) -> None:
    """Writes the reference's values; the learner's weights have moved afterwards."""
    for part, arrays in _computed(case, learner, folder, Choices(folder, hands_over=False)):
        with atomic_path(folder / f"{part}.npz") as path:
            np.savez(path, **arrays)


def measure(case: Case, exact: Exact, folder: Path, tolerances: Tolerances) -> None:
    """The errors of what `record` wrote."""
    choices = Choices(folder, hands_over=True)
    for part, arrays in _computed(case, exact, folder, choices):
        gate, step = _place(part)
        with np.load(folder / f"{part}.npz") as rounded:
            for name, value in arrays.items():
                tolerances.measure(Tolerances.key(gate, name, step=step), value, rounded[name])
    choices.measure(tolerances)


def compare(case: Case, learner: Any, folder: Path, tolerances: Tolerances) -> list[Finding]:
    """Every loss, gradient and updated weight against the reference's."""
    start = case.weights(folder)
    findings, choices = [], Choices(folder, hands_over=True)
    for part, arrays in _computed(case, learner, folder, choices):
        if part == "losses":
            findings += choices.findings(tolerances)
        gate, step = _place(part)
        if part.startswith("losses_") and _is_chaotic(tolerances, step, arrays):
            detail = f"the first {step - 1} of {case.steps}; then the reference's own rounding exceeds {CHAOS:g}"
            findings.append(Finding(STEPS, "steps", "update", passed=True, step=step - 1, detail=detail))
            break
        with np.load(folder / f"{part}.npz") as reference:
            for name in dict.fromkeys([*reference.files, *arrays]):
                expected, found = reference.get(name), arrays.get(name)
                leaps = tuple(LEAPS * error for error in tolerances.elsewhere(gate, name, step))
                floor = _beside_the_sum(reference, name) if part.startswith("losses_") and step > 1 else 0.0
                floors = tuple(max(leap, floor) for leap in leaps)
                finding = judge(tolerances, gate, name, _kind(part), expected, found, step=step, floor=floors)
                findings.append(_explained(finding, expected, found, start.get(name)))
    return _with_roles(findings)


def _beside_the_sum(losses: Mapping[str, np.ndarray], name: str) -> float:
    """What rounding of the whole loss is to one term of it: a tiny term, once the weights have moved, is no finer."""
    if name not in losses or not losses[name].all():
        return 0.0
    return FLOOR * abs(sum(term.item() for term in losses.values()) / losses[name].item())


def _is_chaotic(tolerances: Tolerances, step: int, losses: Arrays) -> bool:
    measured = (tolerances.of(Tolerances.key(STEPS, name, step=step)) for name in losses)
    return any(error.largest > CHAOS for error in measured)


def _computed(case: Case, learner: Any, folder: Path, choices: Choices) -> Iterator[tuple[str, Arrays]]:
    """The values of each part in turn: losses and gradients of the first batch, then what each step leaves."""
    batches = case.batches()
    first = next(batches)
    with choices.of("gradients"):
        losses, gradients = learner.gradients(first)
    yield "losses", _scalars(losses)
    yield "gradients", gradients
    if case.steps == 0:
        return
    start = case.weights(folder)
    learner.load_weights(start)  # the norms' statistics have moved
    for step, batch in enumerate(chain([first], batches), start=1):
        with choices.of(f"step_{step}"):
            losses = learner.train_step(batch, learning_rate(case.settings.schedule, step - 1))
        yield f"losses_{step}", _scalars(losses)
        if step not in case.snapshots():
            continue
        weights = learner.weights()
        if step == 1:
            yield "memory_1", learner.optimizer_state()
            moves = {name: weights[name].astype(np.float64) - start[name] for name in learner.trainable()}
            yield "updates_1", {f"update of {name}": move for name, move in moves.items()}
        yield f"weights_{step}", weights


def _scalars(losses: dict[str, float]) -> Arrays:
    return {f"loss.{name}": np.array([value]) for name, value in losses.items()}


def _place(part: str) -> tuple[int, int | None]:
    """The gate and the optimizer steps done of a part."""
    word, _, step = part.partition("_")
    if step:
        return STEPS, int(step)
    return (LOSSES if word == "losses" else GRADIENTS), None


def _kind(part: str) -> str:
    kinds = {"losses": "loss", "gradients": "gradient", "memory": "momentum", "updates": "update", "weights": "weight"}
    return kinds[part.partition("_")[0]]


def _explained(
    finding: Finding, reference: np.ndarray | None, other: np.ndarray | None, start: np.ndarray | None
) -> Finding:
    """What only training can tell of a failure: what is trained here and not there, and what stood still."""
    if finding.passed:
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


def _with_roles(findings: list[Finding]) -> list[Finding]:
    """In the first gate that fails, and of the optimizer's steps the first, every failure is a cause."""
    failed = [(finding.gate, finding.step or 0) for finding in findings if not finding.passed]
    first = min(failed, default=None)
    return [
        finding
        if finding.passed
        else replace(finding, role="cause" if (finding.gate, finding.step or 0) == first else "consequence")
        for finding in findings
    ]
