"""Gate 1 of two dumps: every layer of the reference held against the port's, and what may be missing."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.foreign.dump import Dump
from benchmarks.foreign.hypotheses.evidence import gather
from benchmarks.foreign.hypotheses.explain import explain
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


def explain_layer(finding: Finding, pairs: Sequence[Pair], reference: Dump, theirs: Arrays) -> Finding:
    """The finding of the layer that departs first, with the causes that a test of the reference's arrays confirms."""
    found = next((each for each in pairs if each.compared and each.ours == finding.name), None)
    if found is None:
        return finding
    inputs, parameters = (
        {name: arrays.array(name) for name in arrays.names} for arrays in (reference.inputs, reference.parameters)
    )
    ours = reference.layers
    return explain(finding, gather(finding, *_sides(found, ours, theirs), ours.names, ours.array, inputs, parameters))


def _sides(found: Pair, ours: Arrays, theirs: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """The reference's array and the port's, in the reference's shape if there is a form for that."""
    other = brought(found, theirs, tuple(ours.shapes[found.ours]))
    return ours.array(found.ours), theirs.array(found.theirs[0]) if other is None else other


def _missing(names: Sequence[str], ours: Arrays) -> Finding:
    detail = f"the port has nothing for {shorten(names)}, and nothing behind it to be held against the reference"
    kind = ours.kinds.get(names[0], "layer")
    return Finding(GATE, names[0], kind, verdict="failed", pattern="missing", detail=detail, role="cause")
