"""Detections of two models on the same images, paired and compared; they are entries of COCO results files."""

import numpy as np
from pycocotools import mask as rle_tools

from common.results.kind import Comparison, Entry, Results

# From this IoU on, two detections of one class are of one object.
_SAME_OBJECT = 0.5
# From this IoU of the boxes on, the masks can be compared; a box that moved farther shows among the boxes.
_SAME_BOX = 0.9


def compare_detections(reference: Results, other: Results) -> list[Comparison]:
    """Counts, scores, boxes and masks of the detections that have a partner; of boxes and masks what both results have.

    Where there are boxes, detections are partners by their overlap. A model that is told where its objects are finds no
    boxes, and has the objects in their order. Rounding decides at a threshold: it may add or remove one detection of
    fifty, move one of fifty sides of boxes to the next whole pixel, and change a hundredth of the pixels of one mask of
    twenty-five.
    """
    has_boxes, has_masks = "box" in reference, "mask" in reference
    counts = [len(found["mask" if has_masks else "box"]) for found in (reference, other)]
    rows, partners = pair_detections(reference["box"], other["box"]) if has_boxes else [range(min(counts))] * 2

    def paired(name: str) -> tuple[list[Entry], list[Entry]]:
        return [reference[name][row] for row in rows], [other[name][row] for row in partners]

    count = max(counts)
    compared = [Comparison("detections", np.array([count]), np.array([len(rows)]), step=0.02 * count)]
    if has_boxes:
        first, second = paired("box")
        compared.append(Comparison("scores", _scores(first), _scores(second)))
        compared.append(Comparison("boxes", _corners(first), _corners(second), step=1.0, share=0.02))
    if has_masks:
        masks = paired("mask")
        overlaps = [_mask_iou(*pair) for pair in zip(*masks, strict=True)]
        if has_boxes:
            box_overlaps = map(_box_iou, *paired("box"))
            overlaps = [mask for mask, box in zip(overlaps, box_overlaps, strict=True) if box >= _SAME_BOX]
        compared.append(Comparison("mask scores", *map(_scores, masks)))
        compared.append(Comparison("mask IoU", np.ones(len(overlaps)), np.array(overlaps), step=0.01, share=0.04))
    return compared


def pair_detections(reference: list[Entry], other: list[Entry]) -> tuple[list[int], list[int]]:
    """The positions in both lists of detections that are the same: of one image and class, with an overlap.

    In the order of the reference, each takes the one that overlaps it best of those that are left; of boxes that lie
    equally well it takes the one with the nearest score.
    """
    rows, partners, taken = [], [], set()
    positions: dict[tuple[int, int], list[int]] = {}
    for position, entry in enumerate(other):
        positions.setdefault((entry["image_id"], entry["category_id"]), []).append(position)
    for row, entry in enumerate(reference):
        near = [each for each in positions.get((entry["image_id"], entry["category_id"]), []) if each not in taken]
        if not near:
            continue
        overlaps = rle_tools.iou([other[each]["bbox"] for each in near], [entry["bbox"]], [False]).reshape(-1)
        scores = [abs(other[each]["score"] - entry["score"]) for each in near]
        best = max(range(len(near)), key=lambda k: (round(float(overlaps[k]), 2), -scores[k]))
        if overlaps[best] >= _SAME_OBJECT:
            rows.append(row)
            partners.append(near[best])
            taken.add(near[best])
    return rows, partners


def _scores(entries: list[Entry]) -> np.ndarray:
    return np.array([entry["score"] for entry in entries])


def _corners(entries: list[Entry]) -> np.ndarray:
    """(N, 4) xyxy in pixels."""
    boxes = np.array([entry["bbox"] for entry in entries], np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _box_iou(first: Entry, second: Entry) -> float:
    return float(rle_tools.iou([first["bbox"]], [second["bbox"]], [False])[0, 0])


def _mask_iou(first: Entry, second: Entry) -> float:
    """The IoU of two masks; two empty masks are the same."""
    pair = [first["segmentation"], second["segmentation"]]
    if not rle_tools.area(pair).any():
        return 1.0
    return float(rle_tools.iou(pair[:1], pair[1:], [False])[0, 0])
