"""Reads the logs of trainings of one model in several frameworks, and says how far the losses are apart."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.frameworks import FRAMEWORKS
from benchmarks.report.measured import read_lines

LOG = "log.jsonl"
TOTAL = "total"

# step -> value
Curve = dict[int, float]


@dataclass(frozen=True)
class Training:
    """A model's losses by step in each framework that has a log.

    terms: the name of a term of the loss, "total" first -> framework -> its curve.
    """

    model: str
    frameworks: list[str]
    terms: dict[str, dict[str, Curve]]

    def distance(self) -> str:
        """How far the total losses of the other frameworks are from the first one's at most, in words."""
        curves = self.terms[TOTAL]
        reference, *others = self.frameworks
        return "; ".join(_describe(reference, curves[reference], other, curves[other]) for other in others)


def read_trainings(folder: Path) -> list[Training]:
    """The trainings whose logs lie in FOLDER/accuracy/MODEL/FRAMEWORK."""
    trainings = []
    for model in sorted(folder.glob("accuracy/*/")):
        logs = {framework: model / framework / LOG for framework in FRAMEWORKS}
        found = {framework: _read_losses(path) for framework, path in logs.items() if path.is_file()}
        found = {framework: losses for framework, losses in found.items() if losses}
        if found:
            trainings.append(Training(model.name, list(found), _by_term(found)))
    return trainings


def _read_losses(path: Path) -> dict[int, dict[str, float]]:
    """step -> the terms of the loss, of the lines of a log that are about an update."""
    return {line["step"]: line["losses"] for line in read_lines(path) if "losses" in line}


def _by_term(found: Mapping[str, Mapping[int, Mapping[str, float]]]) -> dict[str, dict[str, Curve]]:
    totals = {
        framework: {step: sum(losses.values()) for step, losses in steps.items()} for framework, steps in found.items()
    }
    names = dict.fromkeys(name for steps in found.values() for losses in steps.values() for name in losses)
    terms = {
        name: {
            framework: {step: losses[name] for step, losses in steps.items() if name in losses}
            for framework, steps in found.items()
        }
        for name in names
    }
    return {TOTAL: totals, **terms}


def _describe(reference: str, expected: Curve, framework: str, curve: Curve) -> str:
    steps = [step for step in curve if step in expected]
    if not steps:
        return f"{framework} has no step that {reference} has logged"
    apart = {step: abs(curve[step] - expected[step]) / max(abs(expected[step]), 1e-12) for step in steps}
    worst = max(apart, key=apart.__getitem__)
    return f"{framework}'s total differs from {reference}'s by {100 * apart[worst]:.2g} % at most (step {worst})"
