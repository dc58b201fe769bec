"""Gate 1: every layer's output for one image, from the bytes of its file to the network's outputs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.parity.case import Case
from benchmarks.parity.finding import Finding, Mode
from benchmarks.parity.judge import Judge
from benchmarks.parity.recording import Comparing, Recorder, Recording
from benchmarks.parity.sensitivity import Planting
from benchmarks.parity.tolerances import MOST, Tolerances

GATE = 1
MODES: tuple[Mode, ...] = ("accumulated", "injected")
AS_USED = "as used: "


def record(case: Case, learner: Any, folder: Path) -> None:
    """Writes the reference's values of every module."""
    inputs = case.inputs()
    recorder = Recorder(folder / "layers")
    recorder.add("preprocessing", "preprocessing", inputs["image"])
    for name, stage in learner.trace(inputs, recorder).items():
        recorder.add(name, "stage", stage)
    recorder.finish()


def measure(case: Case, exact: Any, folder: Path, tolerances: Tolerances) -> None:
    """Keeps the errors of what `record` wrote; exact: the reference's learner in float64."""
    recording = Recording(folder / "layers")
    watched, inputs = recording.paths(), case.inputs()
    for mode in MODES:

        def keep(name: str, kind: str, path: str, rounded: np.ndarray, value: np.ndarray, mode: Mode = mode) -> None:
            tolerances.measure_rounding(Tolerances.key(GATE, name, mode), value, rounded)

        stages = exact.trace(inputs, Comparing(recording, watched, mode == "injected", keep))
        for name, value in stages.items():
            keep(name, "stage", "", recording.read(name), value)
        for name, twin in recording.twins():
            tolerances.share(Tolerances.key(GATE, name, mode), Tolerances.key(GATE, twin, mode))


def compare_start(case: Case, learner: Any, folder: Path, judge: Judge) -> list[Finding]:
    """Compares what comes before the first layer: the weights and the image."""
    reference = Recording(folder / "layers").read("preprocessing")
    image = judge(GATE, "preprocessing", "preprocessing", reference, case.inputs()["image"])
    return [*_compare_weights(case, learner, folder), image]


def compare_modules(case: Case, learner: Any, folder: Path, judge: Judge, mode: Mode) -> list[Finding]:
    """Compares every module and stage in the order of the computation."""
    recording, inputs, findings = Recording(folder / "layers"), case.inputs(), []
    if mode == "injected":
        inputs["image"] = np.array(recording.read("preprocessing"))

    def keep(name: str, kind: str, path: str, reference: np.ndarray | None, other: np.ndarray | None) -> None:
        findings.append(judge(GATE, name, kind, reference, other, mode))

    comparing = Comparing(recording, recording.paths(), mode == "injected", keep)
    stages = learner.trace(inputs, comparing)
    comparing.finish()
    for name, value in stages.items():
        keep(name, "stage", "", recording.read(name) if name in recording else None, value)
    return findings


def count_found_faults(case: Case, learner: Any, folder: Path, judge: Judge) -> None:
    """Plants a fault in every module's output while the network runs, injected, and counts those that are found."""
    recording, inputs, failed = Recording(folder / "layers"), case.inputs(), {}
    inputs["image"] = np.array(recording.read("preprocessing"))
    second = judge.in_short()

    def keep(name: str, kind: str, path: str, reference: np.ndarray | None, other: np.ndarray | None) -> None:
        failed[name] = second(GATE, name, kind, reference, other, "injected").failed

    planting = Planting(Comparing(recording, recording.paths(), True, keep), judge.tolerances, GATE)
    learner.trace(inputs, planting)
    for name in planting.planted:
        judge.sensitivity.count(GATE, failed[name])


def compare_as_used(case: Case, learner: Any, folder: Path, judge: Judge) -> list[Finding]:
    """Compares the stages of the network as it runs for its users: norms folded into convolutions, parts compiled.

    They are held against the reference's unfolded ones. Folding rounds once more, so twice the tolerance is allowed.
    """
    recording, findings = Recording(folder / "layers"), []
    for name, value in learner.trace(case.inputs(), as_used=True).items():
        reference = recording.read(name) if name in recording else None
        allowed = judge.tolerances.allowed(Tolerances.key(GATE, name)).tolerance
        floor = tuple(min(2.0 * each, max(each, MOST)) for each in (allowed.largest, allowed.frobenius))
        findings.append(judge(GATE, f"{AS_USED}{name}", "as used", reference, value, floor=floor))
    return findings


def assign_roles(
    start: list[Finding], accumulated: list[Finding], injected: list[Finding], as_used: list[Finding]
) -> list[Finding]:
    """All findings, where those that depart have become causes or consequences."""
    faults = {finding.name for finding in injected if finding.failed}
    is_misled = any(finding.failed for finding in start)
    roles = [*_assign_in_order(start, set()), *_assign_in_order(accumulated, faults, is_misled)]
    roles += [replace(finding, role="cause" if finding.failed else "") for finding in injected]
    return roles + _assign_in_order(as_used, set(), any(finding.failed for finding in roles))


def _compare_weights(case: Case, learner: Any, folder: Path) -> list[Finding]:
    """Compares the weights as they arrived; they are copied, so they have to be equal."""
    given, arrived = case.weights(folder), learner.weights()
    judge = Judge(Tolerances())
    findings = [judge(GATE, name, "weight", given.get(name), arrived[name]) for name in arrived]
    return [finding for finding in findings if finding.failed] or findings[:1]


def _assign_in_order(findings: list[Finding], faults: set[str], is_misled: bool = False) -> list[Finding]:
    """Makes the first failure a cause, and those that depart by themselves; the rest are consequences of them.

    faults: the names of what departs by itself; is_misled: whether something before these findings departs already.
    """
    assigned = []
    for finding in findings:
        if finding.failed:
            is_cause = not is_misled or finding.name in faults
            finding, is_misled = replace(finding, role="cause" if is_cause else "consequence"), True
        assigned.append(finding)
    return assigned
