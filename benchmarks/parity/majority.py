"""Two against one: names the reference as the one that departs where the others agree with each other.

A framework's process keeps the first arrays of each gate that depart from the reference's, as they were judged: layers'
outputs in both modes, losses, choices, gradients, the optimizer's values, and results in the order of the reference's
to which they were matched. Once all frameworks have run, what was kept of the same value is compared. Weights as they
arrived are not: they are held against a file, not against the reference.
"""

import json
import shutil
from itertools import combinations
from pathlib import Path

import numpy as np

from benchmarks.parity.difference import difference, holds
from benchmarks.parity.finding import EQUAL, Contradiction, Difference, Finding, Run, Tolerance
from benchmarks.parity.tolerances import LEAST

MOST_KEPT = 8  # arrays of a gate in a mode: the first that depart have the cause among them
# Where the reference's rounding is nearly all of a value, the tolerance allows anything. Arrays that differ by more
# than this do not agree, whatever is allowed.
CLOSE = 0.05


class Departures:
    """A folder of the arrays in which one framework departs from the reference, float32, and an index by value."""

    def __init__(self, folder: Path):
        self._folder = folder
        index = folder / "index.json"
        self._files: dict[str, str] = json.loads(index.read_text()) if index.exists() else {}

    @staticmethod
    def create(folder: Path) -> "Departures":
        """An empty folder, whatever an earlier run has left there."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return Departures(folder)

    def keep(self, finding: Finding, other: np.ndarray | None) -> None:
        """Keeps the array that departs, unless there are enough of its gate; None: the framework has no such array."""
        prefix = f"{finding.gate}/{finding.mode}/"
        count = sum(key.startswith(prefix) for key in self._files)
        if count >= MOST_KEPT:
            return
        file = "" if other is None else f"{prefix.replace('/', '_')}{count}.npy"
        if other is not None:
            np.save(self._folder / file, np.asarray(other, np.float32))
        self._files[_key(finding)] = file
        (self._folder / "index.json").write_text(json.dumps(self._files))

    def __contains__(self, finding: Finding) -> bool:
        return _key(finding) in self._files

    def read(self, finding: Finding) -> np.ndarray | None:
        """The framework's array of a value that departs; None where it has none."""
        file = self._files[_key(finding)]
        return np.load(self._folder / file, mmap_mode="r") if file else None


def departures_folder(case: Path, framework: str) -> Path:
    """The place of a framework's departures in the folder of a case."""
    return case / f"departures_{framework}"


def find_contradictions(case: Path, runs: list[Run]) -> list[Contradiction]:
    """The values at which two or more frameworks agree with each other, and none with the reference; causes first.

    case: the folder of the case. runs: those that were held against the reference.
    """
    kept = {run.framework: Departures(departures_folder(case, run.framework)) for run in runs}
    agreeing = {_key(finding) for run in runs for finding in run.findings if finding.passed}
    failed: dict[str, dict[str, Finding]] = {}
    for run in runs:
        for finding in run.failures():
            if _key(finding) not in agreeing and finding in kept[run.framework]:
                failed.setdefault(_key(finding), {})[run.framework] = finding
    found = [_contradiction(findings, kept) for findings in failed.values()]
    contradictions = [contradiction for contradiction in found if contradiction]
    return sorted(contradictions, key=lambda found: (found.finding.gate, found.finding.role == "consequence"))


def _contradiction(findings: dict[str, Finding], kept: dict[str, Departures]) -> Contradiction | None:
    """Compares the frameworks in pairs; findings: of one value, by framework. None where no two agree."""
    agreeing: dict[tuple[str, str], Difference] = {}
    for one, other in combinations(findings, 2):
        allowed = _allowed(findings[one])
        between = _difference(kept[one].read(findings[one]), kept[other].read(findings[other]), allowed)
        if between is not None and holds(between, allowed):
            agreeing[one, other] = between
    if not agreeing:
        return None
    frameworks = tuple(name for name in findings if any(name in pair for pair in agreeing))
    between = max(agreeing.values(), key=lambda found: found.largest)
    return Contradiction(findings[frameworks[0]], frameworks, between, _allowed(findings[frameworks[0]]))


def _difference(one: np.ndarray | None, other: np.ndarray | None, allowed: Tolerance) -> Difference | None:
    """The difference of two frameworks' arrays; None where they cannot be compared, for shape or for want of one."""
    if one is None and other is None:
        return EQUAL
    if one is None or other is None or one.shape != other.shape:
        return None
    return difference(one, other, allowed.largest)


def _allowed(finding: Finding) -> Tolerance:
    """The finding's tolerance, at most CLOSE; the least there is where the reference had nothing to compare."""
    allowed = finding.tolerance or LEAST
    largest, frobenius = min(allowed.largest, CLOSE), min(allowed.frobenius, CLOSE)
    return Tolerance(allowed.measured_largest, allowed.measured_frobenius, largest, frobenius)


def _key(finding: Finding) -> str:
    return f"{finding.gate}/{finding.mode}/{finding.step}/{finding.name}"
