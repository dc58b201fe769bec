"""A training step of Mask2Former: every prediction is matched with the segments by itself and trained on them."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import numpy as np

from common.array import Array, namespace
from common.families.mask2former.losses import sum_class_losses, sum_mask_losses
from common.families.mask2former.matching import (
    Batch,
    Pairs,
    Prediction,
    Segments,
    compute_costs,
    gather_segments,
    pair_up,
)
from common.families.mask2former.points import Points
from common.families.mask2former.settings import Mask2FormerSettings
from common.points import ChosenPoints, choose_points, read_masks
from common.training.choices import Choose, choose_own
from common.training.ranks import SumOverRanks, sum_of_one

Terms = dict[str, Array]
# The least divisor of the classes' terms: where no query has any weight, these are 0.
_SMALLEST = 1e-12


class Network(Protocol):
    """The part of a network that a training step needs."""

    settings: Mask2FormerSettings

    def predictions(self, image: Array, branch_scales: Array | None = None) -> list[Prediction]: ...


def compute_losses(
    network: Network, batch: Batch, choose: Choose = choose_own, sum_over_ranks: SumOverRanks = sum_of_one
) -> Terms:
    """The terms `classes`, `masks` and `dice` of the last prediction and, with a number, of each one before.

    Of a rank's part of a batch they are its shares of the whole batch's. The step goes on with the `pairs` of queries
    and segments of all predictions, and with the `points` of each (`points_0`, ...), that `choose` gives for its own.

    image (N, 3, H, W); masks (T, H, W) of 0 and 1, the segments of one image after the other, without any an empty one;
    normaliser.masks () and normaliser.classes (), how many segments the whole batch has and the sum of its queries'
    weights. In NumPy: host.labels (T,), host.counts (N,) how many segments each image has, and host.seed (N,).
    With drop path also branch_scales (N, 2 * blocks), by what each image multiplies the branches of the backbone.
    """
    settings = network.settings
    predictions = network.predictions(batch["image"], batch.get("branch_scales"))
    return compute_terms(predictions, batch, Points(batch["host.seed"], settings.losses), settings, choose)


def compute_terms(
    predictions: Sequence[Prediction],
    batch: Batch,
    points: Points,
    settings: Mask2FormerSettings,
    choose: Choose = choose_own,
) -> Terms:
    """The terms of given predictions, which are in the order in which the network makes them, at given points."""
    losses, xp = settings.losses, namespace(predictions[0][1])
    segments = gather_segments(batch, like=predictions[0][1])
    costs = compute_costs(predictions, segments, points, losses)
    pairs = choose("pairs", [pair_up(each, segments) for each in costs])
    # The original divides by what a process's own part of the batch has, or for the masks by its mean over the
    # processes, and then takes the mean of their gradients. In one process that is the same.
    labels = np.stack([_label_queries(each, segments, predictions[0][0].shape) for each in pairs])
    classes = sum_class_losses([logits for logits, _ in predictions], labels, losses.no_object_weight)
    classes = classes / xp.maximum(batch["normaliser.classes"], _SMALLEST)
    count = xp.maximum(batch["normaliser.masks"], 1.0)
    terms: Terms = {}
    for number, ((_, logits), of_prediction) in enumerate(zip(predictions, pairs, strict=True)):
        ending = f"_{number}" if number < len(predictions) - 1 else ""
        if len(of_prediction.cells):
            drawn = points.of_pairs(number, np.minimum(segments.counts, logits.shape[1]).tolist())
            own = partial(choose, f"points{ending}")
            _, *compared = read_pairs(logits, of_prediction, segments, drawn, losses.unsure, own)
            masks, dice = sum_mask_losses(*compared)
        else:  # this 0 depends on the network, so that there are gradients
            masks = dice = 0.0 * xp.sum(logits)
        terms |= {f"classes{ending}": classes[number], f"masks{ending}": masks / count, f"dice{ending}": dice / count}
    # Costs that are no numbers cannot be compared, and whatever was paired then must not be learnt.
    fit = 1.0 if all(np.isfinite(each).all() for of_prediction in costs for each in of_prediction) else math.nan
    return {name: (fit * weight) * terms[name] for name, (_, weight) in settings.loss_terms().items()}


def read_pairs(
    logits: Array,
    pairs: Pairs,
    segments: Segments,
    drawn: tuple[np.ndarray, np.ndarray],
    unsure: int,
    choose: Callable[[ChosenPoints], ChosenPoints],
) -> tuple[Array, Array, Array]:
    """The points (R, P, 2) at which R pairs are compared, and there the queries' logits and the segments, (R, P) each.

    logits (N, Q, h, w): of all queries; drawn: candidates (R, C, 2), and points that are taken without a choice.
    """
    xp = namespace(logits)
    images, queries, *size = logits.shape
    own, asked = np.divmod(pairs.cells, images * queries)
    rows = xp.take(xp.reshape(logits, (images * queries, *size)), xp.asarray(asked, like=logits))[:, None]
    candidates, fresh = (xp.asarray(each, like=rows) for each in drawn)
    points = choose_points(rows[:, 0], candidates, fresh, unsure, choose)
    masks = segments.masks
    if len(own) < len(segments.labels):  # else they are all of them, in their order
        masks = xp.take(masks, xp.asarray(own, like=masks))
    # The points are where they are: no gradient flows to them, nor through what the segments are there.
    return points, read_masks(rows, points)[:, 0], xp.stop_gradient(read_masks(masks, points)[:, 0])


def _label_queries(pairs: Pairs, segments: Segments, shape: Sequence[int]) -> np.ndarray:
    """The classes (N * Q,) int32 that queries are to say whose logits are of this shape (N, Q, K + 1)."""
    images, queries, classes = shape
    labels = np.full(images * queries, classes - 1, np.int32)
    own, asked = np.divmod(pairs.cells, images * queries)
    labels[asked] = segments.labels[own]
    return labels
