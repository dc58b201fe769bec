"""Turns YOLACT's outputs into instances: chooses candidates on the array contract, and does the rest in NumPy."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from common.array import Array, namespace
from common.box_coder import decode_centres
from common.boxes import pairwise_iou, to_corners
from common.families.yolact.geometry import BOX_WEIGHTS, CROP_MARGIN, Geometry
from common.families.yolact.masks import find_spans, resize_binary
from common.families.yolact.settings import YolactDetection, YolactSettings
from common.results import Instances


@dataclass
class Detections:
    """One image's detections after suppression, the best first.

    boxes: (N, 4) xyxy as shares of the image's sides; scores: (N,); labels: (N,) from 0; coefficients: (N, K).
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    coefficients: np.ndarray


def find_instances(
    outputs: dict[str, Array],
    image_sizes: list[tuple[int, int]],
    settings: YolactSettings,
    score_threshold: float = 0.0,
    mask_iou_net: Callable[[Array], Array] | None = None,
) -> list[Instances]:
    """Finds each image's instances in the network's outputs, in the pixels of `image_sizes` (height, width)."""
    return [
        postprocess(each, outputs["proto"][i], image_sizes[i], score_threshold, mask_iou_net, settings.detection.crop)
        for i, each in enumerate(detect(outputs, settings))
    ]


def detect(outputs: dict[str, Array], settings: YolactSettings) -> list[Detections]:
    """Finds each image's detections in the network's outputs for images of the settings' size."""
    probabilities = namespace(outputs["conf"]).softmax(outputs["conf"], 2)
    priors = Geometry.of(settings).priors
    return [
        select(outputs["loc"][i], probabilities[i], outputs["mask"][i], priors, settings)
        for i in range(outputs["loc"].shape[0])
    ]


def select(
    offsets: Array, probabilities: Array, coefficients: Array, priors: np.ndarray, settings: YolactSettings
) -> Detections:
    """Selects one image's detections by score and non-maximum suppression.

    offsets: (P, 4) from the priors (P, 4); probabilities: (P, C + 1), the background first; coefficients: (P, K). A
    prior takes part, with all its classes, if its best class is above the score threshold.
    """
    xp = namespace(offsets)
    rules = settings.detection
    candidates = xp.nonzero(xp.max(probabilities[:, 1:], axis=1) > rules.score_threshold)
    if candidates.shape[0] == 0:
        no_coefficients = np.zeros((0, coefficients.shape[1]), np.float32)
        return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), no_coefficients)
    like, arrays = offsets, (offsets, probabilities, coefficients)
    offsets, probabilities, coefficients = (xp.to_numpy(xp.take(array, candidates)) for array in arrays)
    boxes = to_corners(decode_centres(offsets, priors[xp.to_numpy(candidates)], BOX_WEIGHTS))
    scores = probabilities[:, 1:].T
    if rules.nms == "exact":
        rows, labels, values = _exact_nms(boxes, scores, settings, like)
    elif rules.nms == "cross_class":
        # NMS runs once, over each box's best class; as in the original only top_k limits the number of detections.
        rows, _, values = _fast_nms(boxes, scores.max(axis=0, keepdims=True), rules, limit=len(boxes))
        labels = scores.argmax(axis=0)[rows]
    else:
        rows, labels, values = _fast_nms(boxes, scores, rules, rules.max_detections)
    return Detections(boxes[rows], values, labels.astype(np.int64), coefficients[rows])


def _fast_nms(
    boxes: np.ndarray, scores: np.ndarray, rules: YolactDetection, limit: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Applies YOLACT's Fast NMS to boxes (N, 4) with scores (C, N): every class suppresses its own boxes.

    A box is suppressed by any better box of its class that overlaps it too much, even by one that is suppressed itself;
    so Fast NMS is a little stricter than NMS. Returns the boxes' rows, classes and scores (M,) of the best `limit` that
    remain, the best first, and of equals the first class and row.
    """
    flat = scores.reshape(-1)
    # Only better boxes suppress a box. So the best few are tried alone, and more only where too few of them remain.
    tried = 4 * limit
    while True:
        candidates = np.arange(flat.size)
        if tried < flat.size:
            candidates = np.flatnonzero(flat >= np.partition(flat, flat.size - tried)[flat.size - tried])
        order = candidates[np.argsort(-flat[candidates], kind="stable")]
        labels, rows = np.divmod(order, len(boxes))
        remains = _find_unsuppressed(boxes[rows], labels, rules)
        if len(order) == flat.size or np.count_nonzero(remains) >= limit:
            best = np.flatnonzero(remains)[:limit]
            return rows[best], labels[best], flat[order[best]]
        tried *= 4


def _find_unsuppressed(boxes: np.ndarray, labels: np.ndarray, rules: YolactDetection) -> np.ndarray:
    """Tells which boxes (K, 4) with labels (K,), the best first, remain of each class's first `top_k`: (K,) bool."""
    remains = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)[: rules.top_k]
        covered = np.triu(pairwise_iou(boxes[members], boxes[members]) > rules.iou_threshold, 1).any(axis=0)
        remains[members[~covered]] = True
    return remains


def _exact_nms(
    boxes: np.ndarray, scores: np.ndarray, settings: YolactSettings, like: Array
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Applies ordinary NMS for each class, with the framework of `like`; arguments and results as in `_fast_nms`.

    As in the original, sides are one pixel longer here, and an IoU equal to the threshold suppresses.
    """
    xp = namespace(like)
    rules = settings.detection
    labels, rows = np.nonzero(scores > rules.score_threshold)
    values = scores[labels, rows]
    pixels = boxes[rows] * settings.preprocessing.size
    # `nms` suppresses above its threshold: at least t, in float32, is above the number before t.
    below = float(np.nextafter(np.float32(rules.iou_threshold), np.float32(0)))
    candidates = (xp.asarray(pixels, like), xp.asarray(values, like), below)
    kept = xp.to_numpy(xp.nms(*candidates, classes=xp.asarray(labels.astype(np.int32), like), offset=1.0))
    kept = kept[: rules.max_detections]
    return rows[kept], labels[kept], values[kept]


def postprocess(
    detections: Detections,
    prototypes: Array,
    image_size: tuple[int, int],
    score_threshold: float = 0.0,
    mask_iou_net: Callable[[Array], Array] | None = None,
    crop: bool = True,
) -> Instances:
    """Makes instances in the pixels of `image_size` (height, width) from one image's detections.

    prototypes: (h, w, K); mask_iou_net: (N, 1, h, w) masks -> (N, C) predicted IoUs, with which an instance's
    `mask_scores` are its score times its predicted IoU; crop: whether a mask ends near its box. Boxes are rounded down
    to whole pixels.
    """
    height, width = image_size
    kept = detections.scores > score_threshold if score_threshold > 0 else slice(None)
    boxes, scores, labels = detections.boxes[kept], detections.scores[kept], detections.labels[kept]
    sides = np.array([width, height, width, height], np.float32)
    corners = np.stack([np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], axis=1)
    pixels = np.trunc(np.clip(corners.reshape(-1, 4) * sides, 0, sides)).astype(np.float32)
    if len(scores) == 0:
        mask_scores = np.zeros(0, np.float32) if mask_iou_net else None
        no_masks = np.zeros((0, *prototypes.shape[:2]), np.float32)
        return Instances(image_size, pixels, scores, labels, np.zeros((0, height, width), bool), mask_scores, no_masks)
    xp = namespace(prototypes)
    masks = _assemble_masks(boxes, detections.coefficients[kept], xp.to_numpy(prototypes), crop)
    mask_scores = None
    if mask_iou_net is not None:
        predicted = xp.to_numpy(mask_iou_net(xp.asarray(masks[:, None], like=prototypes)))
        mask_scores = scores * predicted[np.arange(len(scores)), labels]
    return Instances(image_size, pixels, scores, labels, resize_binary(masks, image_size), mask_scores, masks)


def _assemble_masks(boxes: np.ndarray, coefficients: np.ndarray, prototypes: np.ndarray, crop: bool) -> np.ndarray:
    """Assembles masks sigmoid(prototypes . coefficients), (N, h, w) float32.

    boxes: (N, 4); coefficients: (N, K); prototypes: (h, w, K). With `crop` a mask is 0 outside of its box and a margin
    around it, and only computed inside.
    """
    height, width, channels = prototypes.shape
    masks = np.zeros((len(boxes), height, width), np.float32)
    spans_y = spans_x = [slice(None)] * len(boxes)
    if crop:
        spans_y = find_spans(boxes[:, 1], boxes[:, 3], height, CROP_MARGIN)
        spans_x = find_spans(boxes[:, 0], boxes[:, 2], width, CROP_MARGIN)
    with np.errstate(over="ignore"):  # where exp overflows, the sigmoid is 0
        for mask, weights, y, x in zip(masks, coefficients, spans_y, spans_x, strict=True):
            inside = prototypes[y, x]
            logits = inside.reshape(-1, channels) @ weights
            mask[y, x] = (1 / (1 + np.exp(-logits))).reshape(inside.shape[:2])
    return masks
