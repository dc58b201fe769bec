"""From the region proposal network's numbers to proposals: choice, decoding and suppression, level by level."""

from dataclasses import dataclass

import numpy as np

from common.array import Array, namespace
from common.box_coder import decode
from common.boxes import Family, clip, side_offset
from common.config import ProposalLimits, RpnSettings

ANCHOR_WEIGHTS = (1.0, 1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Proposals:
    """An image's; the best first, but for maskrcnn-benchmark's training, where they stand map by map."""

    boxes: np.ndarray  # (K, 4) xyxy float32, in pixels of the padded image
    scores: np.ndarray  # (K,) float32: probabilities; detectron2's are logits
    rows: np.ndarray  # (K,) int32: the anchor that each comes from, counted over all maps


def propose(
    logits: list[Array],
    deltas: list[Array],
    anchors: list[np.ndarray],
    image_sizes: list[tuple[int, int]],
    convention: Family,
    rpn: RpnSettings,
    limits: ProposalLimits,
) -> list[Proposals]:
    """Maps of logits (N, A, h, w) and offsets (N, 4 * A, h, w), their anchors (h * w * A, 4) -> each image's proposals.

    image_sizes: (height, width) of each image without its padding; boxes are clipped to it.
    """
    levels = [by_anchor(*level) for level in zip(logits, deltas, strict=True)]
    starts = np.cumsum([0] + [len(of_map) for of_map in anchors[:-1]])
    images = []
    for index, size in enumerate(image_sizes):
        found = []
        for (flat_logits, flat_deltas), of_map, start in zip(levels, anchors, starts, strict=True):
            boxes, scores, rows = _of_map(flat_logits[index], flat_deltas[index], of_map, size, convention, rpn, limits)
            found.append((boxes, scores, rows + np.int32(start)))
        boxes, scores, rows = (np.concatenate(parts) for parts in zip(*found, strict=True))
        images.append(Proposals(boxes, scores, rows))
    return _of_batch(images, limits.total) if limits.over_batch else [_best(each, limits.total) for each in images]


def by_anchor(logits: Array, deltas: Array) -> tuple[Array, Array]:
    """(N, A, h, w), (N, 4 * A, h, w) -> (N, h * w * A), (N, h * w * A, 4)"""
    xp = namespace(logits)
    count, anchors, height, width = logits.shape
    flat = xp.reshape(xp.transpose(logits, (0, 2, 3, 1)), (count, height * width * anchors))
    deltas = xp.transpose(deltas, (0, 2, 3, 1))  # a channel is 4 * anchor + coordinate
    return flat, xp.reshape(deltas, (count, height * width * anchors, 4))


def _of_map(
    logits: Array,
    deltas: Array,
    anchors: np.ndarray,
    image_size: tuple[int, int],
    convention: Family,
    rpn: RpnSettings,
    limits: ProposalLimits,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One map of one image -> what is left, the best first: boxes, scores and their anchors' rows in the map."""
    xp = namespace(logits)
    offset = side_offset(convention)
    # maskrcnn-benchmark takes the best probabilities: logits beyond float32's sigmoid are equals there.
    if convention == "maskrcnn_benchmark":
        scores, chosen = xp.topk(xp.sigmoid(logits), limits.before_nms)
    else:
        scores, chosen = xp.topk(logits, limits.before_nms)
        scores = xp.sigmoid(scores) if convention == "torchvision" else scores
    boxes = decode(xp.take(deltas, chosen), xp.take(xp.asarray(anchors, like=logits), chosen), ANCHOR_WEIGHTS, offset)
    boxes = clip(boxes, image_size, offset)
    found, values = xp.to_numpy(boxes), xp.to_numpy(scores)
    usable = _usable(found, values, convention, rpn)
    # What is not usable stays for the shapes' sake, behind all others, where it suppresses none of them.
    ranked = xp.asarray(np.where(usable, values, -np.inf).astype(np.float32), like=boxes)
    kept = xp.to_numpy(xp.nms(boxes, ranked, rpn.nms_threshold, offset=offset))
    kept = kept[usable[kept]][: limits.after_nms]
    return found[kept], values[kept], xp.to_numpy(chosen)[kept]


def _usable(boxes: np.ndarray, scores: np.ndarray, convention: Family, rpn: RpnSettings) -> np.ndarray:
    """(K,) bool: finite, large enough and, in torchvision, of enough score."""
    with np.errstate(invalid="ignore"):
        sides = (boxes[:, 2:] - boxes[:, :2]).min(axis=1) + side_offset(convention)
        large = sides > rpn.smallest_side if convention == "detectron2" else sides >= rpn.smallest_side
    finite = np.isfinite(boxes).all(axis=1) & np.isfinite(scores)
    return large & finite & ((scores >= rpn.score_threshold) | (convention != "torchvision"))


def _best(proposals: Proposals, count: int) -> Proposals:
    return _chosen(proposals, np.argsort(-proposals.scores, kind="stable")[:count])


def _of_batch(images: list[Proposals], count: int) -> list[Proposals]:
    """The best `count` over all images, in the order in which they stood."""
    scores = np.concatenate([each.scores for each in images])
    chosen = np.zeros(len(scores), bool)
    chosen[np.argsort(-scores, kind="stable")[:count]] = True
    ends = np.cumsum([len(each.scores) for each in images])
    parts = np.split(chosen, ends[:-1])
    return [_chosen(each, part) for each, part in zip(images, parts, strict=True)]


def _chosen(proposals: Proposals, keep: np.ndarray) -> Proposals:
    return Proposals(proposals.boxes[keep], proposals.scores[keep], proposals.rows[keep])
