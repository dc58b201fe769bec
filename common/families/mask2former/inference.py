"""From an image's queries to its panoptic segments, its instances, and the class of every pixel.

Queries are few and pixels many: what concerns every pixel of every query stays in the framework, and what is decided
query by query, the host decides.
"""

from dataclasses import dataclass

import numpy as np

from common.array import Array, namespace
from common.boxes import boxes_around
from common.families.mask2former.settings import Mask2FormerDetection
from common.results import Instances, Panoptic

# How many masks are resized at once, and at how many pixels all classes are summed at once: it bounds the memory.
_MASKS, _PIXELS = 32, 1 << 16


@dataclass(frozen=True)
class Queries:
    """One image's Q queries over its own pixels."""

    probabilities: np.ndarray  # (Q, K + 1) float32 of the classes, the last of which is no object
    # (Q, H, W) of the framework, sigmoid(logit): how probable it is that a pixel belongs to the query's mask, which it
    # does from a half on.
    presence: Array

    @property
    def image_size(self) -> tuple[int, int]:
        return tuple(self.presence.shape[1:])

    def select(self, rows: np.ndarray) -> Array:
        """The presence (R, H, W) of the queries in these rows (R,)."""
        xp = namespace(self.presence)
        return xp.take(self.presence, xp.asarray(rows.astype(np.int32), like=self.presence))


def place_queries(
    probabilities: np.ndarray,
    logits: Array,
    padded_size: tuple[int, int],
    image_size: tuple[int, int],
    original_size: tuple[int, int],
) -> Queries:
    """Brings the masks of an image, logits (Q, h, w) of the padded one, to its own pixels.

    A part of the queries at a time; see `resize_masks`.
    """
    xp, sizes = namespace(logits), (padded_size, image_size, original_size)
    parts = [logits[start : start + _MASKS] for start in range(0, logits.shape[0], _MASKS)]
    return Queries(probabilities, xp.concatenate([xp.sigmoid(resize_masks(part, *sizes)) for part in parts]))


def resize_masks(
    logits: Array, padded_size: tuple[int, int], image_size: tuple[int, int], original_size: tuple[int, int]
) -> Array:
    """Logits (Q, h, w) of a padded image -> (Q, *original_size).

    They are resized to `padded_size`, cut to `image_size`, that of the image without padding, and resized again.
    """
    xp = namespace(logits)
    padded = xp.resize(logits[None], padded_size)
    return xp.resize(padded[:, :, : image_size[0], : image_size[1]], original_size)[0]


def find_segments(queries: Queries, things: int, rules: Mask2FormerDetection) -> tuple[np.ndarray, list[int]]:
    """Finds the panoptic segments -> a map (H, W) int32 of ids from 1, 0 where there is none; the query of each id.

    A query takes part whose most probable class is one of the K and has more than the object threshold. A pixel goes to
    the query with the largest score * presence, if its presence there is at least a half. The share of pixels that a
    query has won of those in which its presence is at least a half must be the overlap threshold, else it is passed
    over. Of a class of stuff all queries are one segment. Ids are in the order of the queries.
    """
    xp = namespace(queries.presence)
    scores, labels = queries.probabilities.max(axis=1), queries.probabilities.argmax(axis=1)
    is_object = labels < queries.probabilities.shape[1] - 1
    rows = np.flatnonzero(is_object & (scores > rules.object_threshold))
    if len(rows) == 0:
        return np.zeros(queries.image_size, np.int32), []
    presence = queries.select(rows)
    weights = xp.asarray(scores[rows], like=presence)[:, None, None]
    winners = xp.argmax(presence * weights, axis=0)
    is_solid = xp.to_numpy(xp.take_along_axis(presence, winners[None], 0)[0] >= 0.5)
    areas = xp.to_numpy(xp.sum(presence >= 0.5, axis=(1, 2)))
    winners = xp.to_numpy(winners)
    won = np.bincount(winners.reshape(-1), minlength=len(rows))
    left = np.bincount(winners[is_solid], minlength=len(rows))
    remains = (left > 0) & (won / np.maximum(areas, 1) >= rules.overlap_threshold)
    ids, chosen = _number(labels[rows], remains, things)
    return np.where(is_solid, ids[winners], 0), [int(rows[row]) for row in chosen]


def _number(labels: np.ndarray, remains: np.ndarray, things: int) -> tuple[np.ndarray, list[int]]:
    """The id of each query's segment, (Q,) int32, 0 for one that is passed over; and the query that began each."""
    ids, chosen = np.zeros(len(labels), np.int32), []
    stuff: dict[int, int] = {}
    for row in np.flatnonzero(remains).tolist():
        label = int(labels[row])
        if label in stuff:
            ids[row] = stuff[label]
            continue
        chosen.append(row)
        ids[row] = len(chosen)
        if label >= things:
            stuff[label] = len(chosen)
    return ids, chosen


def find_instances(queries: Queries, things: int, most: int, score_threshold: float) -> Instances:
    """Finds the instances with a score above the threshold, the best first; of equals the one of the first class.

    Of all pairs of a query and a class the `most` most probable remain, and of those the things. The score is the
    class's probability times the mask's quality. A query may be several instances. Boxes are those around the masks.
    """
    probabilities = queries.probabilities[:, :-1]
    best = np.argsort(-probabilities, axis=None, kind="stable")[:most]
    rows, labels = np.divmod(best, probabilities.shape[1])
    is_thing = labels < things
    used, numbers = np.unique(rows[is_thing], return_inverse=True)
    masks, quality = _cut_masks(queries, used)
    scores, labels = probabilities.reshape(-1)[best[is_thing]] * quality[numbers], labels[is_thing]
    order = np.lexsort((labels, -scores))
    kept = order[scores[order] > score_threshold]
    boxes, rows = boxes_around(masks), numbers[kept]
    return Instances(queries.image_size, boxes[rows], scores[kept], labels[kept].astype(np.int64), masks[rows])


def _cut_masks(queries: Queries, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The masks (R, H, W) bool of the queries in these rows, and their quality (R,) float32.

    A mask is where the presence is above a half; its quality is the mean presence there, 0 of an empty mask:
    sum(presence in the mask) / (pixels of the mask + 1e-6)
    """
    if len(rows) == 0:
        return np.zeros((0, *queries.image_size), bool), np.zeros(0, np.float32)
    presence = queries.select(rows)
    xp = namespace(presence)
    masks = presence > 0.5
    # Row by row first, so that no float32 sum runs over a whole image's pixels one after the other.
    inside = xp.to_numpy(xp.sum(xp.sum(xp.where(masks, presence, 0.0), axis=2), axis=1))
    masks = xp.to_numpy(masks)
    pixels = np.count_nonzero(masks, axis=(1, 2)).astype(np.float32)
    return masks, inside / (pixels + np.float32(1e-6))


def sum_classes(probabilities: Array, presence: Array) -> Array:
    """Sums probability * presence over the queries: (Q, K) and (Q, P), at P pixels, -> (P, K)"""
    xp = namespace(probabilities, presence)
    return xp.matmul(xp.transpose(presence, (1, 0)), probabilities)


def find_classes(queries: Queries) -> np.ndarray:
    """The class of every pixel, (H, W) int32: that of the largest sum of probability * presence."""
    xp = namespace(queries.presence)
    height, width = queries.image_size
    flat = xp.reshape(queries.presence, (len(queries.probabilities), height * width))
    probabilities = xp.asarray(np.ascontiguousarray(queries.probabilities[:, :-1]), like=flat)
    parts = [
        xp.to_numpy(xp.argmax(sum_classes(probabilities, flat[:, start : start + _PIXELS]), axis=1))
        for start in range(0, height * width, _PIXELS)
    ]
    return np.concatenate(parts).reshape(height, width)


def find_everything(queries: Queries, things: int, rules: Mask2FormerDetection, score_threshold: float) -> Panoptic:
    """The panoptic segments of an image, its instances, and the class of every pixel."""
    segment_map, rows = find_segments(queries, things, rules)
    own = queries.probabilities[rows]
    labels = own.argmax(axis=1).astype(np.int64)
    return Panoptic(
        image_size=queries.image_size,
        segment_map=segment_map,
        ids=np.arange(1, len(rows) + 1, dtype=np.int32),
        labels=labels,
        scores=own.max(axis=1),
        is_thing=labels < things,
        instances=find_instances(queries, things, rules.max_detections, score_threshold),
        semantic=find_classes(queries),
    )
