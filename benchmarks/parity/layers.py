"""Gate 1: what every layer makes of an image, from the bytes of its file to the network's outputs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.parity.case import Arrays, Case, Exact
from benchmarks.parity.finding import Finding, Mode
from benchmarks.parity.judge import Tolerances, judge
from benchmarks.parity.recording import Meeting, Recorder, Recording

GATE = 1
MODES: tuple[Mode, ...] = ("accumulated", "injected")


class NotRecorded(Exception):
    """A module departs, and what the reference has of its children was not written."""


def record(case: Case, learner: Any, folder: Path, everything: bool = True) -> None:
    """Writes the reference's values: of every module, or of the outermost."""
    inputs = case.inputs()
    recorder = Recorder(folder / "layers", everything)
    recorder.add("preprocessing", "preprocessing", inputs["image"])
    for name, stage in learner.trace(inputs, recorder).items():
        recorder.add(name, "stage", stage)
    recorder.finish()


def measure(case: Case, exact: Exact, folder: Path, tolerances: Tolerances) -> None:
    """The errors of what `record` wrote."""
    recording = Recording(folder / "layers")
    watched = {entry["path"] for entry in recording.entries if entry["path"] and entry["file"]}
    inputs = case.inputs()
    for mode in MODES:

        def keep(name: str, kind: str, path: str, rounded: np.ndarray, value: np.ndarray, mode: Mode = mode) -> None:
            tolerances.measure(Tolerances.key(GATE, name, mode), value, rounded)

        stages = exact.trace(inputs, Meeting(recording, watched, mode == "injected", keep))
        for name, value in stages.items():
            keep(name, "stage", "", recording.read(name), value)
        for name, twin in recording.twins():
            tolerances.share(Tolerances.key(GATE, name, mode), Tolerances.key(GATE, twin, mode))


def beginning(case: Case, learner: Any, folder: Path, tolerances: Tolerances) -> list[Finding]:
    """What comes before the first layer: the weights and the image."""
    return [*_weights(case, learner, folder), _preprocessing(case, folder, tolerances)]


def compare(case: Case, learner: Any, folder: Path, tolerances: Tolerances, mode: Mode) -> list[Finding]:
    """The layers that were looked at, top-down: children only where their parent differs."""
    recording = Recording(folder / "layers")
    inputs = case.inputs()
    if mode == "injected":
        inputs["image"] = np.array(recording.read("preprocessing"))
    watched = recording.children("")
    while True:
        findings = _one_pass(recording, learner, inputs, watched, tolerances, mode)
        deeper = set()
        for path in _to_blame(findings):
            deeper |= recording.children(path)
        if deeper <= watched:
            return [finding for finding, _ in findings]
        if not all(recording.is_written(path) for path in deeper):
            raise NotRecorded
        watched |= deeper


def told_apart(start: list[Finding], accumulated: list[Finding], injected: list[Finding]) -> list[Finding]:
    """All findings, with what departs told apart into causes and consequences."""
    faults = {finding.name for finding in injected if not finding.passed}
    roles = [*_with_roles(start, set()), *_with_roles(accumulated, faults, any(not found.passed for found in start))]
    return roles + [replace(finding, role="" if finding.passed else "cause") for finding in injected]


def _weights(case: Case, learner: Any, folder: Path) -> list[Finding]:
    """The weights as they arrived; they are copied, so nothing but equality will do."""
    given, arrived = case.weights(folder), learner.weights()
    findings = [judge(Tolerances(), GATE, name, "weight", given.get(name), arrived[name]) for name in arrived]
    return [finding for finding in findings if not finding.passed] or findings[:1]


def _preprocessing(case: Case, folder: Path, tolerances: Tolerances) -> Finding:
    reference = Recording(folder / "layers").read("preprocessing")
    return judge(tolerances, GATE, "preprocessing", "preprocessing", reference, case.inputs()["image"])


def _one_pass(
    recording: Recording, learner: Any, inputs: Arrays, watched: set[str], tolerances: Tolerances, mode: Mode
) -> list[tuple[Finding, str]]:
    """The findings of one forward pass in the order of the computation, with the path of their module."""
    findings = []

    def keep(name: str, kind: str, path: str, reference: np.ndarray | None, other: np.ndarray | None) -> None:
        findings.append((judge(tolerances, GATE, name, kind, reference, other, mode), path))

    meeting = Meeting(recording, watched, mode == "injected", keep)
    stages = learner.trace(inputs, meeting)
    meeting.finish()
    for name, value in stages.items():
        keep(name, "stage", "", recording.read(name) if name in recording else None, value)
    return findings


def _to_blame(findings: list[tuple[Finding, str]]) -> set[str]:
    """The modules whose answers depart although what they were given does not; injected, they are given the right."""
    misled = {path for finding, path in findings if not finding.passed and finding.kind == "input"}
    wrong = {path for finding, path in findings if not finding.passed and finding.kind not in ("input", "stage")}
    return wrong - misled if findings[0][0].mode == "accumulated" else wrong


def _with_roles(findings: list[Finding], faults: set[str], is_misled: bool = False) -> list[Finding]:
    """Accumulated, the first that departs is a cause, and so is what departs by itself; the rest follows from them."""
    told = []
    for finding in findings:
        if not finding.passed:
            is_cause = not is_misled or finding.name in faults
            finding, is_misled = replace(finding, role="cause" if is_cause else "consequence"), True
        told.append(finding)
    return told
