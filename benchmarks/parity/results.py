"""Gate 5: what is detected on images, and COCO's figures of it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as rle_tools

from benchmarks.parity.case import Case
from benchmarks.parity.finding import Finding
from benchmarks.parity.judge import Tolerances, judge
from common.evaluation.coco import CocoAP
from common.evaluation.inference import predict_dataset
from common.files import atomic_path

GATE = 5
FIGURES = {"box": "COCO figures of boxes", "mask": "COCO figures of masks"}
SAME_OBJECT = 0.5  # IoU from which two detections of one class are of one object
SAME_BOX = 0.9  # and from which their masks can be compared; a box that moved farther is told of as a box
Results = dict[str, list[dict[str, Any]]]  # by "box", where the model finds boxes, and "mask", in one order


def record(case: Case, learner: Any, folder: Path) -> None:
    """Writes the reference's detections."""
    with atomic_path(folder / "results.json") as path:
        path.write_text(json.dumps(_detected(case, learner)))


def measure(case: Case, exact: Any, folder: Path, tolerances: Tolerances) -> None:
    """The errors of what `record` wrote."""
    for name, (reference, other) in _pairs(case, _detected(case, exact), _recorded(folder)).items():
        tolerances.measure(Tolerances.key(GATE, name), reference, other)


def compare(case: Case, learner: Any, folder: Path, tolerances: Tolerances) -> list[Finding]:
    """Detections and figures against the reference's."""
    pairs = _pairs(case, _recorded(folder), _detected(case, learner))
    return [
        judge(tolerances, GATE, name, "result", *pair, floor=_rounding(name, pair[0])) for name, pair in pairs.items()
    ]


def _rounding(name: str, reference: np.ndarray) -> tuple[float, float]:
    """What rounding may change in results, which are whole: (largest, frobenius), relative as in `Difference`.

    A detection at a threshold, or a box's side at a whole pixel, falls on either side: one in fifty of them may. A
    mask's pixels at 0.5 too: a hundredth of one mask, a five-hundredth of all. Figures may differ by 0.1 points.
    """
    unit = {"boxes": 1.0, "mask IoU": 0.01, "detections": 0.02 * reference.max(initial=0.0)}
    unit |= dict.fromkeys(FIGURES.values(), 0.1)
    share = {"boxes": 0.02, "mask IoU": 0.04}.get(name, 1.0)
    if name not in unit or not reference.any():
        return 0.0, 0.0
    step = unit[name]
    return step / np.abs(reference).max(), step * np.sqrt(share * reference.size) / np.linalg.norm(reference)


def _recorded(folder: Path) -> Results:
    return json.loads((folder / "results.json").read_text())


def _detected(case: Case, learner: Any) -> Results:
    return predict_dataset(learner, case.settings, case.validation(), batch_size=1, workers=0)


def _pairs(case: Case, reference: Results, other: Results) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """name -> the reference's and the other's array: of detections that have a partner, and COCO's figures."""
    # A model that is told of its objects finds no boxes, and has the objects in their order.
    boxes = "box" in reference
    counts = [len(found["mask"]) for found in (reference, other)]
    rows, partners = _matched(reference["box"], other["box"]) if boxes else [range(min(counts))] * 2

    def of_both(kind: str) -> tuple[list[dict], list[dict]]:
        return [reference[kind][i] for i in rows], [other[kind][i] for i in partners]

    pairs = {"detections": (np.array([max(counts)]), np.array([len(rows)]))}
    if boxes:
        pairs["scores"], pairs["boxes"] = (tuple(map(part, of_both("box"))) for part in (_scores, _corners))
    first, second = of_both("mask")
    pairs["mask scores"] = _scores(first), _scores(second)
    overlaps = [_mask_iou(a, b) for a, b in zip(first, second, strict=True)]
    if boxes:
        overlaps = [mask for mask, box in zip(overlaps, map(_box_iou, *of_both("box")), strict=True) if box >= SAME_BOX]
    pairs["mask IoU"] = np.ones(len(overlaps)), np.array(overlaps)
    rating = CocoAP(case.validation().annotations)
    for kind in reference:
        figures = [np.nan_to_num(list(rating.rate(found[kind], kind).values())) for found in (reference, other)]
        pairs[FIGURES[kind]] = tuple(figures)
    return pairs


def _matched(reference: list[dict], other: list[dict]) -> tuple[list[int], list[int]]:
    """Rows of both that are the same detection: of one image and class, the best overlap first come first served."""
    rows, partners, taken = [], [], set()
    by_place: dict[tuple[int, int], list[int]] = {}
    for i, entry in enumerate(other):
        by_place.setdefault((entry["image_id"], entry["category_id"]), []).append(i)
    for i, entry in enumerate(reference):
        near = [j for j in by_place.get((entry["image_id"], entry["category_id"]), []) if j not in taken]
        if not near:
            continue
        overlaps = rle_tools.iou([other[j]["bbox"] for j in near], [entry["bbox"]], [False]).reshape(-1)
        # Of boxes that lie equally well the one with the nearest score.
        scores = [abs(other[j]["score"] - entry["score"]) for j in near]
        best = max(range(len(near)), key=lambda k: (round(float(overlaps[k]), 2), -scores[k]))
        if overlaps[best] >= SAME_OBJECT:
            rows.append(i)
            partners.append(near[best])
            taken.add(near[best])
    return rows, partners


def _scores(entries: list[dict]) -> np.ndarray:
    return np.array([entry["score"] for entry in entries])


def _corners(entries: list[dict]) -> np.ndarray:
    """(N, 4) xyxy in pixels."""
    boxes = np.array([entry["bbox"] for entry in entries], np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _box_iou(first: dict, second: dict) -> float:
    return float(rle_tools.iou([first["bbox"]], [second["bbox"]], [False])[0, 0])


def _mask_iou(first: dict, second: dict) -> float:
    """Two empty masks are the same."""
    pair = [first["segmentation"], second["segmentation"]]
    if not rle_tools.area(pair).any():
        return 1.0
    return float(rle_tools.iou(pair[:1], pair[1:], [False])[0, 0])
