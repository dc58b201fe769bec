"""Gives every segment of an image a query of its own, by what the two cost together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from common.array import Array, namespace
from common.families.mask2former.points import Points
from common.families.mask2former.settings import Mask2FormerLosses
from common.packages import import_package
from common.points import read_masks

Batch = Mapping[str, Array]
# Of every image the class logits (N, Q, K + 1) and the mask logits (N, Q, h, w) of its queries.
Prediction = tuple[Array, Array]
_HIGHEST = 1e10


@dataclass(frozen=True)
class Segments:
    """The segments of a batch, those of one image after the other."""

    masks: Array  # (T, 1, H, W) of 0 and 1; an empty one where there is no segment
    labels: np.ndarray  # (T,) int32
    counts: list[int]  # of each image

    @property
    def starts(self) -> list[int]:
        """The number of each image's first segment."""
        return (np.cumsum(self.counts) - self.counts).tolist()


@dataclass(frozen=True)
class Pairs:
    """The queries that a prediction's segments have been given, of all images.

    cells: (R,) int32, ascending: s * queries + q for the segment s and the query q, both numbered through the batch.
    """

    cells: np.ndarray


def gather_segments(batch: Batch, like: Array) -> Segments:
    """The segments of a training batch, whose masks become floats: they are read between their pixels."""
    xp = namespace(like)
    masks = xp.asarray(xp.astype(batch["masks"], "float32"), like=like)
    return Segments(masks[:, None], batch["host.labels"], batch["host.counts"].tolist())


def compute_costs(
    predictions: Sequence[Prediction], segments: Segments, points: Points, settings: Mask2FormerLosses
) -> list[list[np.ndarray]]:
    """What it costs that a query has a segment: of each prediction, of each image (Q, G).

    It is the weighted sum of -p, with p the probability that the query gives the segment's class, and of the costs
    of the masks, on points that all of an image's masks share. No gradient flows through it.
    """
    queries = predictions[0][0].shape[1]
    costs = []
    if sum(segments.counts):
        positions = [points.of_images(number) for number in range(len(predictions))]
        truths = _read_segments(segments, positions)
        for prediction, at, truth in zip(predictions, positions, truths, strict=True):
            costs += _compute_costs(prediction, at, truth, segments, settings)
    xp = namespace(segments.masks)
    # One array, so that the device is waited for once.
    whole = xp.to_numpy(xp.concatenate(costs)) if costs else np.zeros(0, np.float32)
    counts = segments.counts * len(predictions)
    ends = np.cumsum(counts) * queries
    parts = [part.reshape(queries, count) for part, count in zip(np.split(whole, ends[:-1]), counts, strict=True)]
    images = len(segments.counts)
    return [parts[start : start + images] for start in range(0, len(parts), images)]


def _read_segments(segments: Segments, positions: list[np.ndarray]) -> list[list[Array | None]]:
    """The masks at each prediction's points (N, P, 2): of each prediction, of each image (G, P); None of no segment."""
    xp, count = namespace(segments.masks), positions[0].shape[1]
    of_images: list[list[Array | None]] = []
    for image, (start, number) in enumerate(zip(segments.starts, segments.counts, strict=True)):
        if not number:
            of_images.append([None] * len(positions))
            continue
        at = xp.asarray(np.concatenate([each[image] for each in positions])[None], like=segments.masks)
        read = read_masks(segments.masks[None, start : start + number, 0], at)[0]
        of_images.append([read[:, k * count : (k + 1) * count] for k in range(len(positions))])
    return [list(of_prediction) for of_prediction in zip(*of_images, strict=True)]


def _compute_costs(
    prediction: Prediction,
    positions: np.ndarray,
    truths: Sequence[Array | None],
    segments: Segments,
    settings: Mask2FormerLosses,
) -> list[Array]:
    """The costs of one prediction, of each image that has segments (Q * G,)."""
    xp = namespace(segments.masks)
    classes, masks = (xp.stop_gradient(each) for each in prediction)
    probabilities = xp.softmax(classes, 2)
    logits = read_masks(masks, xp.asarray(positions, like=masks))
    costs = []
    for image, (start, count) in enumerate(zip(segments.starts, segments.counts, strict=True)):
        if not count:
            continue
        labels = xp.asarray(segments.labels[start : start + count], like=masks)
        of_masks, of_dice = compute_mask_costs(logits[image], truths[image])
        cost = settings.mask_weight * of_masks + settings.dice_weight * of_dice
        cost = cost - settings.class_weight * xp.take(probabilities[image], labels, axis=1)
        costs.append(xp.reshape(cost, (-1,)))
    return costs


def compute_mask_costs(logits: Array, truth: Array) -> tuple[Array, Array]:
    """The costs (Q, G) of the masks of queries (Q, P) and segments (G, P), which are read at the same points.

    The first is the mean of the binary cross entropies, log(1 + exp(x)) - x t, the second 1 - dice:

        dice = (2 sum(s t) + 1) / (sum(s) + sum(t) + 1),  s = sigmoid(x)
    """
    xp, count = namespace(logits), logits.shape[1]
    across, shares = xp.transpose(truth, (1, 0)), xp.sigmoid(logits)
    without = xp.sum(xp.binary_cross_entropy_with_logits(logits, xp.zeros(logits.shape, like=logits)), 1, keepdims=True)
    entropy = (without - xp.matmul(logits, across)) / float(count)
    sums = xp.sum(shares, 1, keepdims=True) + xp.sum(across, 0, keepdims=True)
    return entropy, 1.0 - (2.0 * xp.matmul(shares, across) + 1.0) / (sums + 1.0)


def pair_up(costs: Sequence[np.ndarray], segments: Segments) -> Pairs:
    """Of one prediction the pairs of least cost (Q, G) in each image.

    Every segment has a query; where there are fewer queries than segments every query has a segment.
    """
    cells, total = [], sum(len(each) for each in costs)
    for image, (of_image, start) in enumerate(zip(costs, segments.starts, strict=True)):
        own, queries = _assign(of_image)
        cells.append((start + own) * total + image * len(of_image) + queries)
    return Pairs(np.concatenate(cells).astype(np.int32))


def _assign(costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The segments, ascending, and the queries of the pairs of least cost (Q, G); what is no number costs most."""
    optimize = import_package("scipy", "scipy", "matching queries with segments").optimize
    return optimize.linear_sum_assignment(np.nan_to_num(costs.T, nan=_HIGHEST, posinf=_HIGHEST, neginf=_HIGHEST))
