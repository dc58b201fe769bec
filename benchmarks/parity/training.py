"""Gates 2 and 3: the terms of the loss and the gradient of every parameter, on the first batch.

More looks, at other batches, tell a fault from a gradient that leapt at a kink. Where gate 4 is asked for its steps are
the looks; here they are made from the start's weights.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.parity.case import Arrays, Case
from benchmarks.parity.choices import Choices
from benchmarks.parity.finding import Finding
from benchmarks.parity.judge import Judge
from benchmarks.parity.perturbing import perturb_image, perturbed
from benchmarks.parity.tolerances import SUM_FLOOR, Tolerances
from common.families import family_of
from common.files import atomic_path
from common.training.choices import Choose

LOSSES, GRADIENTS = 2, 3
LOOKS = 3  # with fewer a fault cannot be told from a leap
SLIGHT = 2.0  # times the tolerance; faults of three times are to be found


def record(case: Case, learner: Any, folder: Path) -> None:
    """Writes the reference's losses and gradients of each look."""
    for look, batch in _batches(case):
        keep(folder, look, _compute(learner, batch, choices_of(case, folder).recording(part_of(look))))


def measure_perturbed(case: Case, learner: Any, folder: Path, tolerances: Tolerances) -> None:
    """Keeps what a perturbed run makes of each look; learner: the reference's."""
    for look, batch in _batches(case):
        choices = choices_of(case, folder)
        with perturbed(learner, look):
            arrays = _compute(learner, perturb_image(batch, look), choices.handing_over(part_of(look)))
        measure_look(folder, look, arrays, tolerances)
        if look == 1:
            choices.measure(tolerances)


def compare(case: Case, learner: Any, folder: Path, judge: Judge) -> list[Finding]:
    """Holds every loss and gradient of the first look against the reference's.

    The others are taken where a gradient departs, for whether it leapt in the first alone.
    """
    choices, batches = choices_of(case, folder), _batches(case)
    look, batch = next(batches)
    judged = judge_look(judge, folder, look, _compute(learner, batch, choices.handing_over(part_of(look))))
    findings = [*choices.findings(judge), *judged]
    excesses = Excesses()
    excesses.add(findings)
    if excesses.by_name:
        for look, batch in batches:
            choose = choices_of(case, folder).handing_over(part_of(look))
            excesses.add(judge_look(judge.in_short(), folder, look, _compute(learner, batch, choose)))
    return excuse_leaps(findings, excesses, LOOKS)


def keep(folder: Path, look: int, arrays: Arrays) -> None:
    """Writes the reference's losses and gradients of a look, by the names of findings."""
    save_arrays(_path(folder, look), arrays)


def measure_look(folder: Path, look: int, arrays: Arrays, tolerances: Tolerances) -> None:
    """Keeps the errors of a look's losses and gradients that a perturbed run gave."""
    with np.load(_path(folder, look)) as rounded:
        for name, value in arrays.items():
            key = Tolerances.key(_gate(name), name)
            tolerances.measure_perturbed(key, value, rounded[name], sum_of(name, rounded))


def judge_look(judge: Judge, folder: Path, look: int, arrays: Arrays) -> list[Finding]:
    """Holds a look's losses and gradients against the reference's."""
    findings = []
    with np.load(_path(folder, look)) as reference:
        for name in dict.fromkeys([*reference.files, *arrays]):
            expected, own = reference.get(name), arrays.get(name)
            if _gate(name) == LOSSES:
                finding = judge(LOSSES, name, "loss", expected, own)
            else:
                finding = judge(GRADIENTS, name, "gradient", expected, own, floor=(SUM_FLOOR, SUM_FLOOR))
            findings.append(_explain(finding, name in arrays))
    return findings


@dataclass
class Excesses:
    """By how many times its tolerance an array departs in each of the looks in which it does, by its name.

    These are the arrays that may have leapt at a kink: gradients, and what a step made of them.
    """

    by_name: dict[str, list[float]] = field(default_factory=dict)

    def add(self, findings: Sequence[Finding]) -> None:
        """Keeps those of one look."""
        for finding in filter(_may_have_leapt, findings):
            self.by_name.setdefault(finding.name, []).append(finding.excess)


def _may_have_leapt(finding: Finding) -> bool:
    return finding.failed and finding.kind not in ("loss", "choice") and finding.difference is not None


def excuse_leaps(findings: Sequence[Finding], excesses: Excesses, looks: int) -> list[Finding]:
    """The findings, where nothing can be told of arrays that depart in two fifths of the looks or in fewer.

    Rounding that falls on the other side of a kink makes a gradient leap in one batch or step, and less often the same
    one in another; a fault is in most of them. Of three looks two may depart so slightly that it says nothing.
    """

    def excuse(finding: Finding) -> Finding:
        found = excesses.by_name.get(finding.name, [])
        is_rare = len(found) <= max(1, 2 * looks // 5)
        is_slight = len(found) < looks and max(found, default=0) < SLIGHT
        if not _may_have_leapt(finding) or looks < LOOKS or not (is_rare or is_slight):
            return finding
        detail = f"it departs in {len(found)} of {looks} looks, as a gradient does that leaps at a kink"
        return replace(finding, verdict="cannot tell", pattern="", detail=detail, usual_cause="", second_cause="")

    return [excuse(finding) for finding in findings]


def _batches(case: Case) -> Iterator[tuple[int, Arrays]]:
    """LOOKS batches and their numbers, counted from 1."""
    yield from enumerate(case.batches(LOOKS), start=1)


def part_of(look: int) -> str:
    """The name under which the choices of a look are kept."""
    return f"look_{look}"


def _path(folder: Path, look: int) -> Path:
    return folder / f"gradients_{look}.npz"


def choices_of(case: Case, folder: Path) -> Choices:
    return Choices(folder, family_of(case.settings).parity.row_keys)


def name_losses(losses: Mapping[str, float]) -> Arrays:
    """Terms by their names -> arrays (1,) by the names of findings."""
    return {f"loss.{name}": np.array([value]) for name, value in losses.items()}


def sum_of(name: str, arrays: Mapping[str, np.ndarray]) -> tuple[str, np.ndarray] | None:
    """The name and the array of a layer's weight, for that of its bias; None for all else.

    Both are sums over the same values of the layer's output. A norm behind the layer makes the bias's sum zero, so that
    rounding alone is left of it, and that is small beside the weight's.
    """
    if not name.endswith(".bias"):
        return None
    weight = name.removesuffix("bias") + "weight"
    return (weight, arrays[weight]) if weight in arrays else None


def save_arrays(path: Path, arrays: Arrays) -> None:
    path.parent.mkdir(exist_ok=True)
    with atomic_path(path) as temporary:
        np.savez(temporary, **arrays)


def explain_training(finding: Finding, is_trained: bool) -> Finding:
    """The finding of a parameter that is trained on one side alone; is_trained: whether on the other side."""
    where = ("stands still here and is trained in the reference", "is trained here, and not in the reference")
    cause = "a layer that is frozen in one and trained in the other"
    known = {"pattern": "trained or not", "detail": where[is_trained], "usual_cause": cause, "second_cause": ""}
    return replace(finding, **known)


def assign_roles(findings: list[Finding]) -> list[Finding]:
    """Makes every failure of the first gate that fails, in the first step that fails, a cause; the others follow.

    In gate 4 a step from the reference's own state is no consequence of an earlier one.
    """
    failed = [_place(finding) for finding in findings if finding.failed]
    first = min(failed, default=None)
    return [
        replace(finding, role="cause" if _place(finding) == first else "consequence") if finding.failed else finding
        for finding in findings
    ]


def _place(finding: Finding) -> tuple[int, bool, int]:
    return finding.gate, finding.step is not None and finding.mode == "accumulated", finding.step or 0


def _explain(finding: Finding, is_trained: bool) -> Finding:
    if finding.pattern != "missing" or finding.kind != "gradient":
        return finding
    return explain_training(finding, is_trained)


def _compute(learner: Any, batch: Arrays, choose: Choose) -> Arrays:
    """Losses and gradients by the names of findings."""
    losses, gradients = learner.gradients(batch, choose=choose)
    return name_losses(losses) | gradients


def _gate(name: str) -> int:
    return LOSSES if name.startswith("loss.") else GRADIENTS
