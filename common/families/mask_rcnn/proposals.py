"""Proposals: the region proposal network's best boxes, chosen, decoded and suppressed map by map."""

from dataclasses import dataclass

import numpy as np

from common.array import Array, namespace
from common.boxes import clip
from common.families.mask_rcnn.conventions import Convention
from common.families.mask_rcnn.settings import ProposalLimits, RpnSettings


@dataclass(frozen=True)
class Proposals:
    """One image's proposals, the best first; with limits over the whole batch they stand map by map."""

    boxes: np.ndarray  # (K, 4) xyxy float32, in pixels of the padded image
    scores: np.ndarray  # (K,) float32: probabilities or logits, as the convention's `proposal_score` says
    rows: np.ndarray  # (K,) int32: the anchor that each comes from, counted over all maps

    def select(self, kept: np.ndarray) -> "Proposals":
        """The proposals of these indices, or where this mask is true, in that order."""
        return Proposals(self.boxes[kept], self.scores[kept], self.rows[kept])


@dataclass(frozen=True)
class _Candidates:
    """The best boxes of every map, of N images, one map after the other; no box is suppressed yet."""

    boxes: np.ndarray  # (N, K, 4) xyxy float32
    scores: np.ndarray  # (N, K) float32
    rows: np.ndarray  # (N, K): the anchor, counted over all maps
    maps: np.ndarray  # (K,): the index of the map


def propose(
    logits: list[Array],
    deltas: list[Array],
    anchors: list[np.ndarray],
    image_sizes: list[tuple[int, int]],
    rules: Convention,
    rpn: RpnSettings,
    limits: ProposalLimits,
) -> list[Proposals]:
    """Each image's proposals, from each map's logits (N, A, h, w), offsets (N, 4 * A, h, w), anchors (h * w * A, 4).

    Of each map the `limits.before_nms` best anchors are decoded and clipped to the image, whose (height, width) without
    padding is in `image_sizes`. Suppression leaves at most `limits.after_nms` of them, and of all maps together the
    `limits.total` best become proposals: of each image or, with `limits.over_batch`, of all images together.
    """
    best = [
        _choose_best_of_map(*flatten_by_anchor(*of_map), rules, limits.before_nms)
        for of_map in zip(logits, deltas, strict=True)
    ]
    candidates = _decode_candidates(best, anchors, image_sizes, rules)
    kept = _suppress(candidates, rules, rpn, limits.after_nms, like=logits[0])
    images = [
        Proposals(candidates.boxes[index], candidates.scores[index], candidates.rows[index]).select(rows)
        for index, rows in enumerate(kept)
    ]
    if limits.over_batch:
        return _choose_best_of_batch(images, limits.total)
    return [each.select(np.argsort(-each.scores, kind="stable")[: limits.total]) for each in images]


def flatten_by_anchor(logits: Array, deltas: Array) -> tuple[Array, Array]:
    """(N, A, h, w), (N, 4 * A, h, w) -> (N, h * w * A), (N, h * w * A, 4)"""
    xp = namespace(logits)
    count, anchors, height, width = logits.shape
    flat = xp.reshape(xp.transpose(logits, (0, 2, 3, 1)), (count, height * width * anchors))
    deltas = xp.transpose(deltas, (0, 2, 3, 1))  # a channel is 4 * anchor + coordinate
    return flat, xp.reshape(deltas, (count, height * width * anchors, 4))


def _choose_best_of_map(logits: Array, deltas: Array, rules: Convention, count: int) -> tuple[Array, Array]:
    """Logits (N, P), offsets (N, P, 4) -> the best `count`, in order: (N, K, 5) offsets and score, (N, K) anchors."""
    xp = namespace(logits)
    # Logits beyond float32's sigmoid are equals where probabilities rank.
    if rules.proposal_rank == "probability":
        scores, chosen = xp.topk(xp.sigmoid(logits), count)
    else:
        scores, chosen = xp.topk(logits, count)
        scores = xp.sigmoid(scores) if rules.proposal_score == "probability" else scores
    images, kept = chosen.shape
    # Every framework finds rows of four in a table faster than entries along an axis.
    flat = xp.reshape(chosen + deltas.shape[1] * xp.arange(images, like=chosen)[:, None], (-1,))
    offsets = xp.reshape(xp.take(xp.reshape(deltas, (-1, 4)), flat), (images, kept, 4))
    return xp.concatenate([offsets, scores[:, :, None]], axis=2), chosen


def _decode_candidates(
    best: list[tuple[Array, Array]],
    anchors: list[np.ndarray],
    image_sizes: list[tuple[int, int]],
    rules: Convention,
) -> _Candidates:
    """The boxes of each map's best anchors, as `_choose_best_of_map` gives these, clipped to their images.

    Only these numbers leave the framework, all at once: a GPU is waited for twice, and the boxes are so few that each
    of its operations would take longer than all of them here.
    """
    xp = namespace(best[0][0])
    numbers, rows = (xp.to_numpy(xp.concatenate(parts, axis=1)) for parts in zip(*best, strict=True))
    maps = np.repeat(np.arange(len(best)), [chosen.shape[1] for _, chosen in best])
    starts = np.cumsum([0] + [len(of_map) for of_map in anchors[:-1]], dtype=np.int32)
    rows = rows + starts[maps]
    images, kept = rows.shape
    with np.errstate(over="ignore", invalid="ignore"):  # boxes that are not finite are left out later
        chosen, offsets = np.concatenate(anchors)[rows.reshape(-1)], numbers[..., :4].reshape(-1, 4)
        boxes = rules.decode_anchors(offsets, chosen).reshape(images, kept, 4)
        boxes = np.stack([clip(each, size, rules.clip_offset) for each, size in zip(boxes, image_sizes, strict=True)])
    return _Candidates(boxes, np.ascontiguousarray(numbers[..., 4]), rows, maps)


def _suppress(
    candidates: _Candidates, rules: Convention, rpn: RpnSettings, limit: int | None, like: Array
) -> list[np.ndarray]:
    """Each image's candidates (K,) that are left, map by map, at most `limit` of a map and its best first.

    Suppression runs in the framework of `like`, on all images and maps at once.
    """
    xp = namespace(like)
    boxes, scores = candidates.boxes.reshape(-1, 4), candidates.scores.reshape(-1)
    images, maps = len(candidates.boxes), candidates.maps.max() + 1
    groups = (maps * np.arange(images)[:, None] + candidates.maps).reshape(-1)  # an image's map each
    usable = np.flatnonzero(_is_usable(boxes, scores, rules, rpn))
    kept = usable
    if len(usable):
        given = [xp.asarray(x[usable], like=like) for x in (boxes, scores)]
        classes = xp.asarray(groups[usable].astype(np.int32), like=like)
        kept = usable[xp.to_numpy(xp.nms(*given, rpn.nms_threshold, classes=classes, offset=rules.proposal_offset))]
    group_of = groups[kept]
    parts = [kept[group_of == group][:limit] % candidates.boxes.shape[1] for group in range(images * maps)]
    return [np.concatenate(parts[maps * index : maps * (index + 1)]) for index in range(images)]


def _is_usable(boxes: np.ndarray, scores: np.ndarray, rules: Convention, rpn: RpnSettings) -> np.ndarray:
    """(K, 4), (K,) -> (K,) bool: finite, large enough and, where a threshold counts, of enough score."""
    with np.errstate(invalid="ignore"):
        sides = (boxes[:, 2:] - boxes[:, :2]).min(axis=1) + rules.offset
        is_large = sides > rpn.smallest_side if rules.proposal_side == "more than" else sides >= rpn.smallest_side
    usable = is_large & np.isfinite(boxes).all(axis=1) & np.isfinite(scores)
    return usable & (scores >= rpn.score_threshold) if rules.proposal_threshold else usable


def _choose_best_of_batch(images: list[Proposals], count: int) -> list[Proposals]:
    """The best `count` over all images, each image's in the order in which they stood."""
    scores = np.concatenate([each.scores for each in images])
    chosen = np.zeros(len(scores), bool)
    chosen[np.argsort(-scores, kind="stable")[:count]] = True
    ends = np.cumsum([len(each.scores) for each in images])
    parts = np.split(chosen, ends[:-1])
    return [each.select(part) for each, part in zip(images, parts, strict=True)]
