"""Gate 5 of two dumps: the detections of two COCO results files."""

from typing import Any

import numpy as np

from benchmarks.foreign.dump import Dump
from benchmarks.foreign.measure import Measure
from benchmarks.parity.finding import Finding
from benchmarks.parity.judge import Judge
from benchmarks.parity.tolerances import Tolerances, threshold_floor
from common.errors import UserError
from common.results.detections import compare_detections

GATE = 5
# Results files are written with three digits behind the point; boxes, in pixels, often with fewer.
_DIGITS = 1e-3
_NEEDED = ("image_id", "category_id", "score")


def compare_results(reference: Dump, other: Dump, measure: Measure) -> list[Finding]:
    """Findings of the number of detections, their scores, boxes and masks, those of one object side by side."""
    ours, theirs = _by_shape(reference), _by_shape(other)
    # A file of no detections says nothing of boxes and masks.
    ours, theirs = ours or {shape: [] for shape in theirs}, theirs or {shape: [] for shape in ours}
    if set(ours) != set(theirs):
        raise UserError(f"{other.folder / 'results.json'}: has {_kinds(theirs)}; the reference's has {_kinds(ours)}")
    judge, findings = Judge(Tolerances(), measure.departures), []
    for pair in compare_detections(ours, theirs) if ours else ():
        floor = tuple(max(*each) for each in zip(threshold_floor(pair), measure.floor, (_DIGITS, _DIGITS), strict=True))
        findings.append(judge(GATE, pair.name, "result", pair.reference, pair.other, floor=floor))
    return findings


def _by_shape(dump: Dump) -> dict[str, list[dict[str, Any]]]:
    """The entries with boxes as "box", those with masks as "mask"; an entry may have both."""
    path = dump.folder / "results.json"
    for number, entry in enumerate(dump.results):
        missing = next((key for key in _NEEDED if not isinstance(entry.get(key), int | float)), None)
        if missing:
            raise UserError(f"{path}: entry {number} has no {missing}")
        if not _is_box(entry.get("bbox", [0] * 4)):
            raise UserError(f"{path}: entry {number}: bbox is not four numbers, x, y, width and height")
        if not _is_mask(entry.get("segmentation", {"counts": "", "size": [1, 1]})):
            raise UserError(f"{path}: entry {number}: segmentation is not a mask in COCO's compressed form")
    shapes = {
        "box": [entry for entry in dump.results if "bbox" in entry],
        "mask": [entry for entry in dump.results if "segmentation" in entry],
    }
    found = {shape: entries for shape, entries in shapes.items() if entries}
    if len({len(entries) for entries in found.values()}) > 1:
        raise UserError(
            f"{path}: some entries have a bbox and some a segmentation; each is to have what the others have"
        )
    if dump.results and not found:
        raise UserError(f"{path}: no entry has a bbox or a segmentation")
    return found


def _is_box(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and np.all(np.isfinite(np.array(value, np.float64)))


def _is_mask(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("counts"), str) and len(value.get("size", ())) == 2


def _kinds(shapes: dict[str, list[dict[str, Any]]]) -> str:
    return " and ".join({"box": "boxes", "mask": "masks"}[shape] for shape in shapes)
