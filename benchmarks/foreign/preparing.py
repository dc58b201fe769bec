"""Gate 0 of two dumps: what an image becomes before the network, and whether both networks were given the same."""

from dataclasses import replace

import numpy as np

from benchmarks.foreign.dump import Dump
from benchmarks.foreign.measure import Measure
from benchmarks.foreign.pairing import brought, pair
from benchmarks.foreign.recipes import describe, differences, read_recipe
from benchmarks.foreign.rules import Rules
from benchmarks.parity.difference import difference
from benchmarks.parity.finding import Finding
from benchmarks.parity.pattern import pattern
from common.errors import UserError

GATE = 0
SAME_INPUT = 1e-6  # relative; room for an input that has been through another precision


def compare_prepared(reference: Dump, other: Dump, measure: Measure, rules: Rules) -> list[Finding]:
    """The findings of gate 0: what each made of the same image."""
    if reference.image.read_bytes() != other.image.read_bytes():
        raise UserError(f"{other.image} is not the reference's image, {reference.image}: their bytes differ")
    findings, ours, theirs = [], reference.preprocessed, other.preprocessed
    for found in pair(ours, theirs, rules):
        if not found.ours:
            continue
        array = ours.array(found.ours)
        own = brought(found, theirs, array.shape) if found.theirs else None
        own = theirs.array(found.theirs[0]) if own is None and found.theirs else own
        if own is not None:
            _check_finite(theirs.source, found.theirs[0], own)
        judge = measure.judge(GATE, found.ours, array, [run.preprocessed for run in measure.runs])
        finding = judge(GATE, found.ours, "preprocessing", array, own, floor=measure.floor)
        findings.append(_explained(finding, reference, array, other, own) if finding.failed else finding)
    return findings


def why_not_prepared(reference: Dump, other: Dump) -> str:
    """Why gate 0 cannot be judged; empty where it can."""
    for dump in (reference, other):
        if dump.image is None:
            return f"{dump.name} has no image"
        if not len(dump.preprocessed):
            return f"{dump.name} has nothing that its image became"
    return ""


def differing_input(reference: Dump, other: Dump, rules: Rules) -> str:
    """How what the port was given differs from what the reference was given; empty where both were given the same."""
    ours, theirs = reference.inputs, other.inputs
    if not len(ours):
        raise UserError(f"{ours.source}: there is no array called image or input.NAME, so what was the network given?")
    for found in pair(ours, theirs, rules):
        if not found.ours:
            continue
        if not found.theirs:
            raise UserError(f"{theirs.source}: there is no array called {found.ours}, so what was the network given?")
        own = brought(found, theirs, ours.shapes[found.ours])
        text = _difference(reference, ours.array(found.ours), other, found.theirs[0], own)
        if text:
            return text
    return ""


def _difference(reference: Dump, array: np.ndarray, other: Dump, name: str, own: np.ndarray | None) -> str:
    source, where = other.inputs.source, f"input {name!r}"
    if own is None:
        shape = other.inputs.shapes[name]
        return f"{source}: {where} has the shape {shape}; the reference's has {array.shape}"
    _check_finite(source, name, own)
    found = difference(array, own, SAME_INPUT)
    if found.largest <= SAME_INPUT:
        return ""
    departure = pattern(array, own)
    return (
        f"{source}: {where} is not the reference's, from which it differs by up to {found.largest:.2g} of the largest "
        f"value ({departure.name}: {departure.detail}); {reference.folder / 'inputs.npz'} has what it was given"
    )


def _explained(finding: Finding, reference: Dump, array: np.ndarray, other: Dump, own: np.ndarray | None) -> Finding:
    """The finding with what differs between the two ways in which the image was prepared, where that can be read."""
    ours = read_recipe(reference.image, array)
    theirs = None if own is None else read_recipe(other.image, own)
    if ours is None or theirs is None or not (ours.is_found and theirs.is_found):
        return finding
    found = differences(ours, theirs)
    return replace(finding, usual_cause="; ".join(found) if found else f"not told by the recipe: {describe(theirs)}")


def _check_finite(source: str, name: str, array: np.ndarray) -> None:
    wrong = array.size - int(np.count_nonzero(np.isfinite(array)))
    if wrong:
        raise UserError(f"{source}: {name!r} has {wrong} NaN or infinite values of {array.size}")
