"""From the region proposal network's numbers to proposals: choice, decoding and suppression, level by level."""

from dataclasses import dataclass

import numpy as np

from common.array import Array, namespace
from common.box_coder import decode
from common.boxes import Convention, clip, side_offset
from common.families.mask_rcnn.settings import ProposalLimits, RpnSettings

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
    convention: Convention,
    rpn: RpnSettings,
    limits: ProposalLimits,
) -> list[Proposals]:
    """Maps of logits (N, A, h, w) and offsets (N, 4 * A, h, w), their anchors (h * w * A, 4) -> each image's proposals.

    image_sizes: (height, width) of each image without its padding; boxes are clipped to it.
    """
    levels = [
        _best_of_map(*flatten_by_anchor(*level), convention, limits.before_nms)
        for level in zip(logits, deltas, strict=True)
    ]
    boxes, scores, rows, level_of = _decoded(levels, anchors, image_sizes, convention)
    left = _suppressed(boxes, scores, level_of, convention, rpn, limits.after_nms, like=logits[0])
    images = [Proposals(*(each[index][kept] for each in (boxes, scores, rows))) for index, kept in enumerate(left)]
    return _of_batch(images, limits.total) if limits.over_batch else [_best(each, limits.total) for each in images]


def flatten_by_anchor(logits: Array, deltas: Array) -> tuple[Array, Array]:
    """(N, A, h, w), (N, 4 * A, h, w) -> (N, h * w * A), (N, h * w * A, 4)"""
    xp = namespace(logits)
    count, anchors, height, width = logits.shape
    flat = xp.reshape(xp.transpose(logits, (0, 2, 3, 1)), (count, height * width * anchors))
    deltas = xp.transpose(deltas, (0, 2, 3, 1))  # a channel is 4 * anchor + coordinate
    return flat, xp.reshape(deltas, (count, height * width * anchors, 4))


def _best_of_map(logits: Array, deltas: Array, convention: Convention, count: int) -> tuple[Array, Array]:
    """Logits (N, P), offsets (N, P, 4) -> of the best `count`, in order: (N, K, 5) offsets and score, (N, K) rows."""
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
    offsets = xp.reshape(xp.take(xp.reshape(deltas, (-1, 4)), flat), (images, kept, 4))
    return xp.concatenate([offsets, scores[:, :, None]], axis=2), chosen


def _decoded(
    levels: list[tuple[Array, Array]],
    anchors: list[np.ndarray],
    image_sizes: list[tuple[int, int]],
    convention: Convention,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The maps' best, one map after the other: boxes (N, K, 4), scores (N, K), rows over all maps (N, K), maps (K,).

    Only these leave the framework, all at once: a GPU is waited for twice, and the boxes are so few that each of its
    operations would take longer than all here.
    """
    xp = namespace(levels[0][0])
    numbers, rows = (xp.to_numpy(xp.concatenate(parts, axis=1)) for parts in zip(*levels, strict=True))
    level_of = np.repeat(np.arange(len(levels)), [chosen.shape[1] for _, chosen in levels])
    starts = np.cumsum([0] + [len(of_map) for of_map in anchors[:-1]], dtype=np.int32)
    rows = rows + starts[level_of]
    offset, (images, kept) = side_offset(convention), rows.shape
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is not used
        places = np.concatenate(anchors)[rows.reshape(-1)]
        boxes = decode(numbers[..., :4].reshape(-1, 4), places, ANCHOR_WEIGHTS, offset).reshape(images, kept, 4)
        boxes = np.stack([clip(each, size, offset) for each, size in zip(boxes, image_sizes, strict=True)])
    return boxes, np.ascontiguousarray(numbers[..., 4]), rows, level_of


def _suppressed(
    boxes: np.ndarray,
    scores: np.ndarray,
    level_of: np.ndarray,
    convention: Convention,
    rpn: RpnSettings,
    limit: int | None,
    like: Array,
) -> list[np.ndarray]:
    """As `_decoded` has them -> of each image which are left, map by map and the best of each map first."""
    xp = namespace(like)
    images, levels = len(boxes), level_of.max() + 1
    groups = levels * np.arange(images)[:, None] + level_of
    usable = np.flatnonzero(_usable(boxes.reshape(-1, 4), scores.reshape(-1), convention, rpn))
    kept = usable
    if len(usable):
        given = [xp.asarray(x, like=like) for x in (boxes.reshape(-1, 4)[usable], scores.reshape(-1)[usable])]
        classes = xp.asarray(groups.reshape(-1)[usable].astype(np.int32), like=like)
        found = xp.nms(*given, rpn.nms_threshold, classes=classes, offset=side_offset(convention))
        kept = usable[xp.to_numpy(found)]
    of_group = groups.reshape(-1)[kept]
    parts = [kept[of_group == group][:limit] % boxes.shape[1] for group in range(images * levels)]
    return [np.concatenate(parts[levels * index : levels * (index + 1)]) for index in range(images)]


def _usable(boxes: np.ndarray, scores: np.ndarray, convention: Convention, rpn: RpnSettings) -> np.ndarray:
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
