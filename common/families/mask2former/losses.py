"""Mask2Former's losses, on the array contract."""

from collections.abc import Sequence

import numpy as np

from common.array import Array, namespace
from common.losses import cross_entropy


def sum_class_losses(logits: Sequence[Array], labels: np.ndarray, no_object_weight: float) -> Array:
    """The weighted sum of the cross entropies of all queries, of each of L predictions: (L,).

    logits: of each prediction (N, Q, K + 1); labels: (L, N * Q) int32, K of a query without an object, which has the
    weight `no_object_weight` where others have 1.
    """
    xp = namespace(logits[0])
    classes = logits[0].shape[2]
    weights = np.where(labels == classes - 1, np.float32(no_object_weight), np.float32(1))
    rows = xp.reshape(xp.concatenate(logits), (-1, classes))
    losses = cross_entropy(rows, xp.asarray(labels.reshape(-1), like=rows))
    return xp.sum(xp.reshape(losses, labels.shape) * xp.asarray(weights, like=rows), 1)


def sum_mask_losses(logits: Array, truth: Array) -> tuple[Array, Array]:
    """The sums over R masks of their losses at points: the binary cross entropy's mean over the points, and 1 - dice.

    logits x and truth t: (R, P), the latter in 0..1.

        dice = (2 sum(s t) + 1) / (sum(s) + sum(t) + 1),  s = sigmoid(x)
    """
    xp = namespace(logits)
    entropies = xp.sum(xp.binary_cross_entropy_with_logits(logits, truth)) / float(logits.shape[1])
    shares = xp.sigmoid(logits)
    dice = (2.0 * xp.sum(shares * truth, 1) + 1.0) / (xp.sum(shares, 1) + xp.sum(truth, 1) + 1.0)
    return entropies, xp.sum(1.0 - dice)
