"""Gate 1: every layer's output for one image, from the bytes of its file to the network's outputs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.parity.case import Arrays, Case
from benchmarks.parity.finding import Finding, Mode
from benchmarks.parity.judge import Tolerances, judge
from benchmarks.parity.recording import Comparing, Recorder, Recording

GATE = 1
MODES: tuple[Mode, ...] = ("accumulated", "injected")


class NotRecorded(Exception):
    """A module departs, and what the reference has of its children was not written."""


def record(case: Case, learner: Any, folder: Path, everything: bool = True) -> None:
    """Writes the reference's values of every module, or of the outermost ones alone."""
    inputs = case.inputs()
    recorder = Recorder(folder / "layers", everything)
    recorder.add("preprocessing", "preprocessing", inputs["image"])
    for name, stage in learner.trace(inputs, recorder).items():
        recorder.add(name, "stage", stage)
    recorder.finish()


def measure(case: Case, exact: Any, folder: Path, tolerances: Tolerances) -> None:
    """Keeps the errors of what `record` wrote; exact: the reference's learner in float64."""
    recording = Recording(folder / "layers")
    watched = {entry["path"] for entry in recording.entries if entry["path"] and entry["file"]}
    inputs = case.inputs()
    for mode in MODES:

        def keep(name: str, kind: str, path: str, rounded: np.ndarray, value: np.ndarray, mode: Mode = mode) -> None:
            tolerances.measure(Tolerances.key(GATE, name, mode), value, rounded)

        stages = exact.trace(inputs, Comparing(recording, watched, mode == "injected", keep))
        for name, value in stages.items():
            keep(name, "stage", "", recording.read(name), value)
        for name, twin in recording.twins():
            tolerances.share(Tolerances.key(GATE, name, mode), Tolerances.key(GATE, twin, mode))


def compare_start(case: Case, learner: Any, folder: Path, tolerances: Tolerances) -> list[Finding]:
    """Compares what comes before the first layer: the weights and the image."""
    return [*_compare_weights(case, learner, folder), _compare_image(case, folder, tolerances)]


def compare(case: Case, learner: Any, folder: Path, tolerances: Tolerances, mode: Mode) -> list[Finding]:
    """Compares the layers top-down: a module's children only where the module itself departs."""
    recording = Recording(folder / "layers")
    inputs = case.inputs()
    if mode == "injected":
        inputs["image"] = np.array(recording.read("preprocessing"))
    watched = recording.children("")
    while True:
        findings = _compare_once(recording, learner, inputs, watched, tolerances, mode)
        deeper = set()
        for path in _modules_to_blame(findings):
            deeper |= recording.children(path)
        if deeper <= watched:
            return [finding for finding, _ in findings]
        if not all(recording.is_written(path) for path in deeper):
            raise NotRecorded
        watched |= deeper


def assign_roles(start: list[Finding], accumulated: list[Finding], injected: list[Finding]) -> list[Finding]:
    """All findings, where those that depart have become causes or consequences."""
    faults = {finding.name for finding in injected if finding.failed}
    is_misled = any(finding.failed for finding in start)
    roles = [*_assign_in_order(start, set()), *_assign_in_order(accumulated, faults, is_misled)]
    return roles + [replace(finding, role="cause" if finding.failed else "") for finding in injected]


def _compare_weights(case: Case, learner: Any, folder: Path) -> list[Finding]:
    """Compares the weights as they arrived; they are copied, so they have to be equal."""
    given, arrived = case.weights(folder), learner.weights()
    findings = [judge(Tolerances(), GATE, name, "weight", given.get(name), arrived[name]) for name in arrived]
    return [finding for finding in findings if finding.failed] or findings[:1]


def _compare_image(case: Case, folder: Path, tolerances: Tolerances) -> Finding:
    reference = Recording(folder / "layers").read("preprocessing")
    return judge(tolerances, GATE, "preprocessing", "preprocessing", reference, case.inputs()["image"])


def _compare_once(
    recording: Recording, learner: Any, inputs: Arrays, watched: set[str], tolerances: Tolerances, mode: Mode
) -> list[tuple[Finding, str]]:
    """The findings of one forward pass in the order of the computation, each with the path of its module."""
    findings = []
    if tolerances.departures:
        tolerances.departures.restart(GATE, mode)

    def keep(name: str, kind: str, path: str, reference: np.ndarray | None, other: np.ndarray | None) -> None:
        findings.append((judge(tolerances, GATE, name, kind, reference, other, mode), path))

    comparing = Comparing(recording, watched, mode == "injected", keep)
    stages = learner.trace(inputs, comparing)
    comparing.finish()
    for name, value in stages.items():
        keep(name, "stage", "", recording.read(name) if name in recording else None, value)
    return findings


def _modules_to_blame(findings: list[tuple[Finding, str]]) -> set[str]:
    """The modules whose answers depart although their inputs do not; injected, all inputs are the reference's."""
    misled = {path for finding, path in findings if finding.failed and finding.kind == "input"}
    wrong = {path for finding, path in findings if finding.failed and finding.kind not in ("input", "stage")}
    return wrong - misled if findings[0][0].mode == "accumulated" else wrong


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
