"""Gate 1 of two dumps: every layer of the reference held against the port's, and what may be missing."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.foreign.pairing import Arrays, Pair, brought
from benchmarks.foreign.rules import shorten
from benchmarks.parity.finding import Finding

GATE = 1

# (name, kind, the reference's array, the port's) -> the finding. The two may be of different shapes.
Judging = Callable[[str, str, np.ndarray, np.ndarray], Finding]


def compare_layers(pairs: Sequence[Pair], ours: Arrays, theirs: Arrays, judging: Judging) -> list[Finding]:
    """The findings of gate 1, in the reference's order.

    The first layer that departs is the cause, those behind it are consequences. A layer of another shape departs, and
    hides none before it. A layer that the port does not have is excused where a layer behind it agrees: the port
    computes it without a layer of its own. Where nothing behind it agrees and nothing before it departs, it is missing.
    """
    findings, missing, departs = [], [], False
    for found in pairs:
        if found.way == "missing":
            missing.append(found.ours)
        if not found.compared:
            continue
        finding = judging(found.ours, ours.kinds.get(found.ours, "layer"), *_sides(found, ours, theirs))
        if finding.failed:
            finding = replace(finding, role="consequence" if departs else "cause")
            departs = True
        elif finding.passed:
            missing = []
        findings.append(finding)
    if missing and not departs:
        findings.append(_missing(missing, ours))
    return findings


def _sides(found: Pair, ours: Arrays, theirs: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """The reference's array and the port's, in the reference's shape if there is a form for that."""
    other = brought(found, theirs, tuple(ours.shapes[found.ours]))
    return ours.array(found.ours), theirs.array(found.theirs[0]) if other is None else other


def _missing(names: Sequence[str], ours: Arrays) -> Finding:
    detail = f"the port has nothing for {shorten(names)}, and nothing behind it to be held against the reference"
    kind = ours.kinds.get(names[0], "layer")
    return Finding(GATE, names[0], kind, verdict="failed", pattern="missing", detail=detail, role="cause")
