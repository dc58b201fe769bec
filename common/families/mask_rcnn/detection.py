"""Detections: made from the box head's logits and offsets, and moved from the network's image to the original one."""

from dataclasses import dataclass, replace

import numpy as np

from common.array import Array, namespace
from common.boxes import area, clip, intersection
from common.families.mask_rcnn.conventions import Convention
from common.families.mask_rcnn.resizing import find_scale
from common.families.mask_rcnn.settings import MaskRcnnSettings, RcnnDetection


@dataclass(frozen=True)
class Detections:
    """One image's detections, class by class or the best first, as the convention's `detection_order` says."""

    boxes: np.ndarray  # (K, 4) xyxy float32
    scores: np.ndarray  # (K,) float32
    labels: np.ndarray  # (K,) int32: the place among the class logits
    rows: np.ndarray  # (K,) int32: the proposal that each comes from

    def select(self, kept: np.ndarray) -> "Detections":
        """The detections of these indices, or where this mask is true, in that order."""
        return Detections(self.boxes[kept], self.scores[kept], self.labels[kept], self.rows[kept])


def detect(
    class_logits: Array,
    box_deltas: Array,
    proposals: Array,
    counts: list[int],
    image_sizes: list[tuple[int, int]],
    settings: MaskRcnnSettings,
) -> list[Detections]:
    """Decodes the regions' boxes of each class and suppresses them, image by image.

    class_logits (R, C + 1), box_deltas (R, 4 * boxes) and proposals (R, 4) xyxy of all images, `counts` of them for
    each image, whose (height, width) without padding is in `image_sizes`.
    """
    xp, rules, first = namespace(class_logits), settings.rules, settings.first_label
    classes = slice(first, first + settings.num_classes)
    scores = xp.to_numpy(xp.softmax(class_logits, 1))[:, classes]
    boxes = xp.to_numpy(rules.decode_regions(box_deltas, proposals))
    boxes = boxes.reshape(len(boxes), boxes.shape[1] // 4, 4)[:, classes]
    found, start = [], 0
    for count, size in zip(counts, image_sizes, strict=True):
        rows = slice(start, start + count)
        image = _detect_in_image(boxes[rows], scores[rows], size, rules, settings.detection, class_logits)
        found.append(Detections(image.boxes, image.scores, image.labels + np.int32(first), image.rows))
        start += count
    return found


def _detect_in_image(
    boxes: np.ndarray,
    scores: np.ndarray,
    image_size: tuple[int, int],
    rules: Convention,
    detection: RcnnDetection,
    like: Array,
) -> Detections:
    """Boxes (R, C, 4) and scores (R, C) of one image's regions -> its detections, with labels from 0.

    Suppression runs in the framework of `like`.
    """
    xp = namespace(like)
    finite = np.isfinite(boxes).all(axis=(1, 2)) & np.isfinite(scores).all(axis=1)
    wanted = (scores > detection.score_threshold) & finite[:, None]
    rows, labels = np.nonzero(wanted)
    scores, boxes = scores[wanted], clip(boxes[wanted], image_size, rules.clip_offset)
    if rules.smallest_detection_side is not None:
        large = (boxes[:, 2:] - boxes[:, :2] >= rules.smallest_detection_side).all(axis=1)
        boxes, scores, labels, rows = boxes[large], scores[large], labels[large], rows[large]
    if len(boxes) == 0:
        kept = np.zeros(0, np.int32)
    elif rules.suppression == "areas alone":
        kept = _suppress_by_areas(boxes, scores, labels, detection.iou_threshold, rules.offset)
    else:
        arrays = (xp.asarray(boxes, like=like), xp.asarray(scores, like=like))
        classes = xp.asarray(labels.astype(np.int32), like=like)
        kept = xp.to_numpy(xp.nms(*arrays, detection.iou_threshold, classes=classes, offset=rules.offset))
    most = detection.max_detections
    if rules.detection_order == "class":
        if len(kept) > most:
            kept = kept[scores[kept] >= np.sort(scores[kept])[-most]]
        kept = kept[np.lexsort((rows[kept], labels[kept]))]
    else:
        kept = kept[:most]
    return Detections(boxes[kept], scores[kept], labels[kept].astype(np.int32), rows[kept].astype(np.int32))


def _suppress_by_areas(
    boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, threshold: float, offset: float
) -> np.ndarray:
    """The boxes (R, 4) that are left class by class, (K,), the best first; one goes from an overlap of `threshold` on.

    The offset counts in the areas, and in the intersections it does not:

        overlap(a, b) = intersection(a, b) / (area(a; offset) + area(b; offset) - intersection(a, b))
    """
    areas, alive, kept = area(boxes, offset), np.ones(len(boxes), bool), []
    for row in np.argsort(-scores, kind="stable"):
        if not alive[row]:
            continue
        kept.append(row)
        rivals = np.flatnonzero(alive & (labels == labels[row]))
        shared = intersection(boxes[row : row + 1], boxes[rivals])[0]
        alive[rivals[shared / (areas[row] + areas[rivals] - shared) >= threshold]] = False
    return np.array(kept, np.int32)


def to_original(
    found: Detections, image_size: tuple[int, int], original_size: tuple[int, int], settings: MaskRcnnSettings
) -> Detections:
    """Moves detections from an image (height, width) as the network saw it to the image in its original size."""
    rules = settings.rules
    if rules.size_rule == "canvas":
        y, x = (1 / find_scale(original_size, settings.preprocessing.canvas),) * 2
    else:
        y, x = (original / seen for original, seen in zip(original_size, image_size, strict=True))
    moved = Detections(found.boxes * np.array([x, y, x, y], np.float32), found.scores, found.labels, found.rows)
    boxes = clip(moved.boxes, original_size)
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    if rules.clips_to_original:
        moved = replace(moved, boxes=boxes)
    return moved.select(has_area) if rules.drops_outside else moved
