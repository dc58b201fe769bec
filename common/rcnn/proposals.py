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
    chosen = [
        _best_of_map(*by_anchor(*level), of_map, image_sizes, convention, limits.before_nms)
        for *level, of_map in zip(logits, deltas, anchors, strict=True)
    ]
    starts = np.cumsum([0] + [len(of_map) for of_map in anchors[:-1]], dtype=np.int32)
    images = []
    for index in range(len(image_sizes)):
        found = []
        for of_level, start in zip(chosen, starts, strict=True):
            boxes, scores, rows = (each[index] for each in of_level)
            kept = _suppress(boxes, scores, convention, rpn, limits.after_nms, like=logits[0])
            found.append((boxes[kept], scores[kept], rows[kept] + start))
        images.append(Proposals(*(np.concatenate(parts) for parts in zip(*found, strict=True))))
    return _of_batch(images, limits.total) if limits.over_batch else [_best(each, limits.total) for each in images]


def by_anchor(logits: Array, deltas: Array) -> tuple[Array, Array]:
    """(N, A, h, w), (N, 4 * A, h, w) -> (N, h * w * A), (N, h * w * A, 4)"""
    xp = namespace(logits)
    count, anchors, height, width = logits.shape
    flat = xp.reshape(xp.transpose(logits, (0, 2, 3, 1)), (count, height * width * anchors))
    deltas = xp.transpose(deltas, (0, 2, 3, 1))  # a channel is 4 * anchor + coordinate
    return flat, xp.reshape(deltas, (count, height * width * anchors, 4))


def _best_of_map(
    logits: Array,
    deltas: Array,
    anchors: np.ndarray,
    image_sizes: list[tuple[int, int]],
    convention: Family,
    count: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits (N, P), offsets (N, P, 4) -> boxes (N, K, 4), scores (N, K) and rows (N, K) of the best `count`, in order.

    Only these leave the framework: the boxes are so few that each of its operations would take longer than all here.
    """
    xp = namespace(logits)
    # maskrcnn-benchmark takes the best probabilities: logits beyond float32's sigmoid are equals there.
    if convention == "maskrcnn_benchmark":
        scores, chosen = xp.topk(xp.sigmoid(logits), count)
    else:
        scores, chosen = xp.topk(logits, count)
        scores = xp.sigmoid(scores) if convention == "torchvision" else scores
    images, kept = chosen.shape
    # of rows of four in a table, which every framework finds faster than along an axis
    flat = xp.reshape(chosen + deltas.shape[1] * xp.arange(images, like=chosen)[:, None], (-1,))
    offsets = xp.to_numpy(xp.take(xp.reshape(deltas, (-1, 4)), flat))
    scores, rows = xp.to_numpy(scores), xp.to_numpy(chosen)
    offset = side_offset(convention)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is not used
        boxes = decode(offsets, anchors[rows.reshape(-1)], ANCHOR_WEIGHTS, offset).reshape(images, kept, 4)
        boxes = np.stack([clip(each, size, offset) for each, size in zip(boxes, image_sizes, strict=True)])
    return boxes, scores, rows


def _suppress(
    boxes: np.ndarray, scores: np.ndarray, convention: Family, rpn: RpnSettings, limit: int | None, like: Array
) -> np.ndarray:
    """One map of one image -> which of its boxes (K, 4) are left, the best first."""
    xp = namespace(like)
    usable = np.flatnonzero(_usable(boxes, scores, convention, rpn))
    if len(usable) == 0:
        return usable
    given = (xp.asarray(each[usable], like=like) for each in (boxes, scores))
    return usable[xp.to_numpy(xp.nms(*given, rpn.nms_threshold, offset=side_offset(convention)))[:limit]]


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
