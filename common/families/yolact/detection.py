"""From YOLACT's outputs to instances: candidates on the array contract, the rest in NumPy."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from common.array import Array, namespace
from common.box_coder import decode_centres
from common.boxes import pairwise_iou, to_corners
from common.families.yolact.geometry import BOX_WEIGHTS, CROP_MARGIN, Geometry
from common.families.yolact.masks import resize_binary, spans
from common.families.yolact.settings import YolactDetection, YolactSettings
from common.results import Instances


@dataclass
class Detections:
    """One image's boxes (N, 4), scores (N,), labels (N,) and coefficients (N, K) after suppression, best first."""

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
    """The network's outputs -> for each image its instances, in the pixels of `image_sizes` (height, width)."""
    return [
        postprocess(found, outputs["proto"][i], image_sizes[i], score_threshold, mask_iou_net, settings.detection.crop)
        for i, found in enumerate(detect(outputs, settings))
    ]


def detect(outputs: dict[str, Array], settings: YolactSettings) -> list[Detections]:
    """The network's outputs for images of the settings' size -> one Detections an image."""
    probabilities = namespace(outputs["conf"]).softmax(outputs["conf"], 2)
    anchors = Geometry.of(settings).priors
    return [
        select(outputs["loc"][i], probabilities[i], outputs["mask"][i], anchors, settings)
        for i in range(outputs["loc"].shape[0])
    ]


def select(
    offsets: Array, probabilities: Array, coefficients: Array, anchors: np.ndarray, settings: YolactSettings
) -> Detections:
    """One image: offsets (P, 4), probabilities (P, C + 1), coefficients (P, K), anchors (P, 4) -> what stays of them.

    A prior takes part, with all its classes, when its best one is above the threshold.
    """
    xp = namespace(offsets)
    rules = settings.detection
    candidates = xp.nonzero(xp.max(probabilities[:, 1:], axis=1) > rules.score_threshold)
    if candidates.shape[0] == 0:
        no_coefficients = np.zeros((0, coefficients.shape[1]), np.float32)
        return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), no_coefficients)
    chosen = [xp.to_numpy(xp.take(x, candidates)) for x in (offsets, probabilities, coefficients)]
    boxes = to_corners(decode_centres(chosen[0], anchors[xp.to_numpy(candidates)], BOX_WEIGHTS))
    scores = chosen[1][:, 1:].T
    if rules.nms == "exact":
        rows, labels, values = _exact_nms(boxes, scores, settings, like=offsets)
    elif rules.nms == "cross_class":
        # One NMS over the best class of each; as in the original only top_k limits their number.
        rows, _, values = _fast_nms(boxes, scores.max(axis=0, keepdims=True), rules, limit=len(boxes))
        labels = scores.argmax(axis=0)[rows]
    else:
        rows, labels, values = _fast_nms(boxes, scores, rules, rules.max_detections)
    return Detections(boxes[rows], values, labels.astype(np.int64), chosen[2][rows])


def _fast_nms(
    boxes: np.ndarray, scores: np.ndarray, rules: YolactDetection, limit: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """boxes (N, 4), scores (C, N) -> rows, classes and scores of the best `limit` that stay; of equals the first class.

    A box goes when any better one of its class overlaps it too much, also one that goes itself; that makes it a little
    stricter than NMS. A box's fate hangs on better ones alone, so the best few are tried first, and mostly they do.
    """
    flat = scores.reshape(-1)
    tried = 4 * limit
    while True:
        chosen = np.arange(flat.size)
        if tried < flat.size:
            chosen = np.flatnonzero(flat >= np.partition(flat, flat.size - tried)[flat.size - tried])
        order = chosen[np.argsort(-flat[chosen], kind="stable")]
        labels, rows = np.divmod(order, len(boxes))
        stays = _unsuppressed(boxes[rows], labels, rules)
        if len(order) == flat.size or np.count_nonzero(stays) >= limit:
            best = np.flatnonzero(stays)[:limit]
            return rows[best], labels[best], flat[order[best]]
        tried *= 4


def _unsuppressed(boxes: np.ndarray, labels: np.ndarray, rules: YolactDetection) -> np.ndarray:
    """boxes (K, 4) and labels (K,), best first -> (K,) bool: the first `top_k` of a class that no better one covers"""
    stays = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)[: rules.top_k]
        covered = np.triu(pairwise_iou(boxes[members], boxes[members]) > rules.iou_threshold, 1).any(axis=0)
        stays[members[~covered]] = True
    return stays


def _exact_nms(
    boxes: np.ndarray, scores: np.ndarray, settings: YolactSettings, like: Array
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `_fast_nms`, with the NMS of the framework of `like`.

    The original's sides count one pixel more here, and an IoU of exactly the threshold suppresses.
    """
    xp = namespace(like)
    rules = settings.detection
    labels, rows = np.nonzero(scores > rules.score_threshold)
    values = scores[labels, rows]
    pixels = boxes[rows] * settings.preprocessing.size
    # An IoU in float32 that is at least the threshold is above the number before it.
    below = float(np.nextafter(np.float32(rules.iou_threshold), np.float32(0)))
    found = (xp.asarray(pixels, like), xp.asarray(values, like), below)
    kept = xp.to_numpy(xp.nms(*found, classes=xp.asarray(labels.astype(np.int32), like), offset=1.0))
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
    """One image's detections and prototypes (h, w, K) -> instances in the pixels of `image_size` (height, width).

    Boxes are whole pixels, and masks end with them where they are cropped. mask_iou_net: (N, 1, h, w) -> (N, C);
    `mask_scores` are then scores times predicted IoU.
    """
    height, width = image_size
    keep = detections.scores > score_threshold if score_threshold > 0 else slice(None)
    boxes, scores, labels = detections.boxes[keep], detections.scores[keep], detections.labels[keep]
    sides = np.array([width, height, width, height], np.float32)
    corners = np.stack([np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], axis=1)
    pixels = np.trunc(np.clip(corners.reshape(-1, 4) * sides, 0, sides)).astype(np.float32)
    if len(scores) == 0:
        empty = np.zeros(0, np.float32) if mask_iou_net else None
        none = np.zeros((0, *prototypes.shape[:2]), np.float32)
        return Instances(image_size, pixels, scores, labels, np.zeros((0, height, width), bool), empty, none)
    xp = namespace(prototypes)
    masks = _soft_masks(boxes, detections.coefficients[keep], xp.to_numpy(prototypes), crop)
    mask_scores = None
    if mask_iou_net is not None:
        predicted = xp.to_numpy(mask_iou_net(xp.asarray(masks[:, None], like=prototypes)))
        mask_scores = scores * predicted[np.arange(len(scores)), labels]
    return Instances(image_size, pixels, scores, labels, resize_binary(masks, image_size), mask_scores, masks)


def _soft_masks(boxes: np.ndarray, coefficients: np.ndarray, prototypes: np.ndarray, crop: bool) -> np.ndarray:
    """boxes (N, 4), coefficients (N, K), prototypes (h, w, K) -> (N, h, w), 0 outside of a box and a margin around it.

    Only what lies inside is worked out, most often a small part of the grid. Without `crop` it is the whole grid.
    """
    height, width, channels = prototypes.shape
    masks = np.zeros((len(boxes), height, width), np.float32)
    rows = columns = [slice(None)] * len(boxes)
    if crop:
        rows = spans(boxes[:, 1], boxes[:, 3], height, CROP_MARGIN)
        columns = spans(boxes[:, 0], boxes[:, 2], width, CROP_MARGIN)
    with np.errstate(over="ignore"):  # the sigmoid is 0 there
        for mask, weights, y, x in zip(masks, coefficients, rows, columns, strict=True):
            inside = prototypes[y, x]
            logits = inside.reshape(-1, channels) @ weights
            mask[y, x] = (1 / (1 + np.exp(-logits))).reshape(inside.shape[:2])
    return masks
