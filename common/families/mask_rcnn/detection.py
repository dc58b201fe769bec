"""From the box head's numbers to detections, and from an image as the network saw it to the image itself."""

from dataclasses import dataclass

import numpy as np

from common.array import Array, namespace
from common.box_coder import decode
from common.boxes import Convention, clip, side_offset
from common.families.mask_rcnn.settings import MaskRcnnSettings, RcnnDetection

WEIGHTS = (10.0, 10.0, 5.0, 5.0)
# torchvision drops detections with a smaller side.
_SMALLEST_SIDE = 1e-2


@dataclass(frozen=True)
class Detections:
    """An image's: torchvision's and detectron2's the best first, maskrcnn-benchmark's class by class."""

    boxes: np.ndarray  # (K, 4) xyxy float32
    scores: np.ndarray  # (K,) float32
    labels: np.ndarray  # (K,) int32: the column among the class logits
    rows: np.ndarray  # (K,) int32: the proposal that each comes from


def detect(
    class_logits: Array,
    box_deltas: Array,
    proposals: Array,
    counts: list[int],
    image_sizes: list[tuple[int, int]],
    settings: MaskRcnnSettings,
) -> list[Detections]:
    """Logits (R, C + 1), offsets (R, 4 * boxes) and proposals (R, 4), `counts` of them for each image -> detections."""
    xp = namespace(class_logits)
    convention, count = settings.convention, settings.num_classes
    first = 1 if settings.network.background == "first" else 0
    scores = xp.to_numpy(xp.softmax(class_logits, 1))[:, first : first + count]
    boxes = xp.to_numpy(decode(box_deltas, proposals, WEIGHTS, side_offset(convention)))
    boxes = boxes.reshape(len(boxes), boxes.shape[1] // 4, 4)[:, first : first + count]
    found, start = [], 0
    for length, size in zip(counts, image_sizes, strict=True):
        rows = slice(start, start + length)
        chosen = _of_image(boxes[rows], scores[rows], size, convention, settings.detection, class_logits)
        found.append(Detections(chosen.boxes, chosen.scores, chosen.labels + np.int32(first), chosen.rows))
        start += length
    return found


def _of_image(
    boxes: np.ndarray,
    scores: np.ndarray,
    image_size: tuple[int, int],
    convention: Convention,
    detection: RcnnDetection,
    like: Array,
) -> Detections:
    """Boxes (R, C, 4) and scores (R, C) of objects -> detections, labels from 0."""
    xp = namespace(like)
    offset = side_offset(convention)
    sound = np.isfinite(boxes).all(axis=(1, 2)) & np.isfinite(scores).all(axis=1)
    wanted = (scores > detection.score_threshold) & sound[:, None]
    rows, labels = np.nonzero(wanted)
    scores, boxes = scores[wanted], clip(boxes[wanted], image_size, offset)
    if convention == "torchvision":
        large = (boxes[:, 2:] - boxes[:, :2] >= _SMALLEST_SIDE).all(axis=1)
        boxes, scores, labels, rows = boxes[large], scores[large], labels[large], rows[large]
    if len(boxes) == 0:
        kept = np.zeros(0, np.int32)
    else:
        arrays = (xp.asarray(boxes, like=like), xp.asarray(scores, like=like))
        classes = xp.asarray(labels.astype(np.int32), like=like)
        kept = xp.to_numpy(xp.nms(*arrays, detection.iou_threshold, classes=classes, offset=offset))
    most = detection.max_detections
    if convention == "maskrcnn_benchmark":
        if len(kept) > most:  # equals of the last one stay
            kept = kept[scores[kept] >= np.sort(scores[kept])[-most]]
        kept = kept[np.lexsort((rows[kept], labels[kept]))]
    else:
        kept = kept[:most]
    return Detections(boxes[kept], scores[kept], labels[kept].astype(np.int32), rows[kept].astype(np.int32))


def to_original(
    found: Detections, image_size: tuple[int, int], original_size: tuple[int, int], convention: Convention
) -> Detections:
    """Detections in an image (height, width) as it was resized for the network -> in the image as it was."""
    ratios = np.array([original_size[1] / image_size[1], original_size[0] / image_size[0]] * 2, np.float32)
    boxes, kept = found.boxes * ratios, np.ones(len(found.boxes), bool)
    if convention == "detectron2":
        boxes = clip(boxes, original_size)
        kept = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return Detections(boxes[kept], found.scores[kept], found.labels[kept], found.rows[kept])
