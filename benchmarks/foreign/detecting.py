"""Gate 5 of two dumps: the results that both networks come to, detections with their key points or panoptic ones."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.foreign.dump import Dump
from benchmarks.foreign.measure import Measure
from benchmarks.parity.finding import Finding
from benchmarks.parity.judge import Judge
from benchmarks.parity.tolerances import Tolerances, threshold_floor
from common.errors import UserError
from common.results import Comparison
from common.results.detections import compare_detections, pair_detections
from common.results.panoptic_compared import compare_segments
from common.results.panoptic_files import decode_map, read_panoptic

GATE = 5
# Results files are written with three digits behind the point; boxes, in pixels, often with fewer.
_DIGITS = 1e-3
_NEEDED = ("image_id", "category_id", "score")
_WORDS = {"box": "boxes", "mask": "masks", "keypoints": "key points"}

Entries = list[dict[str, Any]]


def compare_results(reference: Dump, other: Dump, measure: Measure) -> list[Finding]:
    """Findings of the number of detections or segments, and of what each is, those of one object side by side."""
    kinds = [_is_panoptic(dump) for dump in (reference, other) if dump.results]
    if len(set(kinds)) > 1:
        words = ["panoptic results" if kind else "detections" for kind in kinds]
        raise UserError(f"{other.results_path}: has {words[1]}; the reference's has {words[0]}")
    compare = _compare_panoptic if any(kinds) else _compare_detected
    judge, findings = Judge(Tolerances(), measure.departures), []
    for pair in compare(reference, other):
        floor = tuple(max(*each) for each in zip(threshold_floor(pair), measure.floor, (_DIGITS, _DIGITS), strict=True))
        findings.append(judge(GATE, pair.name, "result", pair.reference, pair.other, floor=floor))
    return findings


def _is_panoptic(dump: Dump) -> bool:
    return any("segments_info" in entry for entry in dump.results)


def _compare_detected(reference: Dump, other: Dump) -> Iterator[Comparison]:
    """Detections of one object side by side; without boxes, those around their key points tell which these are."""
    ours, theirs = _by_shape(reference), _by_shape(other)
    # A file of no detections says nothing of boxes and masks.
    ours, theirs = ours or {shape: [] for shape in theirs}, theirs or {shape: [] for shape in ours}
    if set(ours) != set(theirs):
        raise UserError(f"{other.results_path}: has {_kinds(theirs)}; the reference's has {_kinds(ours)}")
    if not ours:
        return
    is_boxed = "box" in ours or "keypoints" not in ours
    if not is_boxed:
        ours, theirs = (found | {"box": _around(found["keypoints"])} for found in (ours, theirs))
    yield from (pair for pair in compare_detections(ours, theirs) if is_boxed or pair.name != "boxes")
    if "keypoints" in ours:
        rows, partners = pair_detections(ours["box"], theirs["box"])
        pairs = [
            (ours["keypoints"][row], theirs["keypoints"][partner]) for row, partner in zip(rows, partners, strict=True)
        ]
        yield from _compare_keypoints(pairs, other)


def _compare_keypoints(pairs: list[tuple[dict[str, Any], dict[str, Any]]], other: Dump) -> Iterator[Comparison]:
    """The places (N, 2) of all key points of detections that have a partner, in pixels, and their third numbers (N,).

    The third is a score or whether the point is seen. A place is that of the largest value of a map: rounding may move
    one of fifty by a pixel.
    """
    for one, two in pairs:
        if len(one["keypoints"]) != len(two["keypoints"]):
            counts = [len(entry["keypoints"]) // 3 for entry in (two, one)]
            raise UserError(f"{other.results_path}: {counts[0]} key points; the reference's have {counts[1]}")
    ours, theirs = (np.array([pair[side]["keypoints"] for pair in pairs], np.float64).reshape(-1, 3) for side in (0, 1))
    yield Comparison("key points", ours[:, :2], theirs[:, :2], step=1.0, share=0.02)
    yield Comparison("key points' scores", ours[:, 2], theirs[:, 2])


def _compare_panoptic(reference: Dump, other: Dump) -> Iterator[Comparison]:
    """The images that have a result, then the segments and pixels of those that have one in both."""
    ours, theirs = (
        {entry["image_id"]: entry for entry in read_panoptic(dump.results_path, dump.results)}
        for dump in (reference, other)
    )
    both = [image for image in ours if image in theirs]
    every = sorted(ours.keys() | theirs.keys())
    yield Comparison("images", np.ones(len(every)), np.isin(every, both).astype(float))
    for image in both:
        own, wanted = (decode_map(side[image]).shape for side in (theirs, ours))
        if own != wanted:
            text = f"the PNG of image {image} is {_size(own)}; the reference's is {_size(wanted)}"
            raise UserError(f"{other.results_path}: {text}")
    if both:
        yield from compare_segments(*([side[image] for image in both] for side in (ours, theirs)))


def _by_shape(dump: Dump) -> dict[str, Entries]:
    """The entries with boxes as "box", with masks as "mask", with key points as "keypoints"; one may have several."""
    path, results = dump.results_path, dump.results
    for number, entry in enumerate(results):
        missing = next((key for key in _NEEDED if not isinstance(entry.get(key), int | float)), None)
        if missing:
            raise UserError(f"{path}: entry {number} has no {missing}")
        if not _is_box(entry.get("bbox", [0] * 4)):
            raise UserError(f"{path}: entry {number}: bbox is not four numbers, x, y, width and height")
        if not _is_mask(entry.get("segmentation", {"counts": "", "size": [1, 1]})):
            raise UserError(f"{path}: entry {number}: segmentation is not a mask in COCO's compressed form")
        if not _are_keypoints(entry.get("keypoints", [0] * 3)):
            raise UserError(f"{path}: entry {number}: keypoints are not three numbers each, x, y and a score")
    keys = {"box": "bbox", "mask": "segmentation", "keypoints": "keypoints"}
    shapes = {shape: [entry for entry in results if key in entry] for shape, key in keys.items()}
    found = {shape: entries for shape, entries in shapes.items() if entries}
    if len({len(entries) for entries in found.values()}) > 1:
        raise UserError(f"{path}: some entries have {_kinds(found)} that others have not; each is to have the same")
    if results and not found:
        raise UserError(f"{path}: no entry has a bbox, a segmentation or keypoints")
    return found


def _around(entries: Entries) -> Entries:
    """The entries with the boxes around their key points that are seen, or have a score."""
    boxed = []
    for entry in entries:
        points = np.array(entry["keypoints"], np.float64).reshape(-1, 3)
        points = (points[points[:, 2] > 0] if np.any(points[:, 2] > 0) else points)[:, :2]
        corner = points.min(axis=0)
        boxed.append(entry | {"bbox": [*corner.tolist(), *(points.max(axis=0) - corner).tolist()]})
    return boxed


def _is_box(value: Any) -> bool:
    return _are_numbers(value) and len(value) == 4


def _is_mask(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("counts"), str) and len(value.get("size", ())) == 2


def _are_keypoints(value: Any) -> bool:
    return _are_numbers(value) and len(value) > 0 and len(value) % 3 == 0


def _are_numbers(value: Any) -> bool:
    is_list = isinstance(value, list) and all(isinstance(each, int | float) for each in value)
    return is_list and bool(np.all(np.isfinite(np.array(value, np.float64))))


def _kinds(shapes: dict[str, Entries]) -> str:
    return " and ".join(_WORDS[shape] for shape in shapes)


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]}"
