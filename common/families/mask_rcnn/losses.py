"""The five losses of Mask R-CNN, on the array contract.

Rows are the sampled anchors or regions of all images of a batch. A row of label -1 fills up an array and counts
nowhere; sums run over the other rows.
"""

import math

import numpy as np

from common.array import Array, namespace
from common.families.mask_rcnn.settings import MaskRcnnSettings
from common.losses import cross_entropy, smooth_l1


def count_anchors(labels: np.ndarray, images: int, settings: MaskRcnnSettings) -> int:
    """By how many the losses of the sampled anchors of so many images are divided.

    That is the number of those whose labels (N, S) are 1 or 0, and not -1. Where `anchor_divisor` is "at least one", an
    image without one kind counts as having one; and where it is "wanted", it is anchors_per_image * images.
    """
    divisor = settings.rules.anchor_divisor
    if divisor == "wanted":
        return settings.losses.anchors_per_image * images
    of_kinds = [(labels == label).sum(axis=-1) for label in (1, 0)]
    return int(sum((np.maximum(counts, 1) if divisor == "at least one" else counts).sum() for counts in of_kinds))


def compute_rpn_losses(
    logits: Array, deltas: Array, labels: Array, targets: Array, count: int, settings: MaskRcnnSettings
) -> tuple[Array, Array]:
    """The losses of objectness and of the proposals' boxes, two scalars.

    logits (S,), deltas (S, 4), labels (S,) 1, 0 or -1, targets (S, 4) of the sampled anchors, `count` as
    `count_anchors` has it:

        objectness = sum BCE(logits, labels) / count
        boxes      = sum over labels of 1 of smooth L1(deltas - targets; rpn_beta) / count
    """
    xp = namespace(logits)
    used, positive = (xp.astype(rows, "float32") for rows in (labels >= 0, labels > 0))
    divisor = float(max(count, 1))
    objectness = xp.sum(xp.binary_cross_entropy_with_logits(logits, positive) * used)
    boxes = xp.sum(smooth_l1(deltas - targets, settings.losses.rpn_beta) * positive[:, None])
    return objectness / divisor, boxes / divisor


def compute_box_losses(
    class_logits: Array, box_deltas: Array, labels: Array, targets: Array, settings: MaskRcnnSettings
) -> tuple[Array, Array]:
    """The losses of the regions' classes and of their boxes, two scalars; see the two functions below."""
    return compute_class_loss(class_logits, labels), compute_offset_loss(box_deltas, labels, targets, settings)


def compute_class_loss(class_logits: Array, labels: Array) -> Array:
    """The loss of the regions' classes, a scalar, of R' regions that count.

    class_logits (R, C + 1), labels (R,): sum -log softmax(class_logits)[label] / R'
    """
    xp = namespace(class_logits)
    used = labels >= 0
    losses = cross_entropy(class_logits, xp.where(used, labels, 0))
    return xp.sum(losses * xp.astype(used, "float32")) / _count(used)


def compute_offset_loss(box_deltas: Array, labels: Array, targets: Array, settings: MaskRcnnSettings) -> Array:
    """The loss of the regions' boxes, a scalar, of R' regions that count.

    box_deltas (R, 4 * boxes), labels (R,), targets (R, 4):

        sum over objects of smooth L1(box_deltas[label] - targets; box_beta) / R'
    """
    own, positive, count = select_offsets(box_deltas, labels, settings)
    difference = smooth_l1(own - targets, settings.losses.box_beta)
    return namespace(box_deltas).sum(difference * positive[:, None]) / count


def select_offsets(box_deltas: Array, labels: Array, settings: MaskRcnnSettings) -> tuple[Array, Array, Array]:
    """Each region's offsets of its label (R, 4), 1 or 0 as it is an object's (R,) float32, and how many regions count.

    box_deltas (R, 4 * boxes), labels (R,); what a region of the background has for offsets means nothing.
    """
    xp = namespace(box_deltas)
    rows, boxes = labels.shape[0], box_deltas.shape[1] // 4
    used = labels >= 0
    if settings.network.background == "first":
        positive = labels > 0
    else:
        positive = xp.logical_and(used, labels < settings.num_classes)
    # A background that stands last has no offsets.
    own = xp.where(positive, labels, 0)[:, None, None]
    deltas = xp.reshape(box_deltas, (rows, boxes, 4))
    own = xp.take_along_axis(deltas, xp.broadcast_to(own, (rows, 1, 4)), 1)[:, 0]
    return own, xp.astype(positive, "float32"), _count(used)


def _count(used: Array) -> Array:
    """How many rows count, and at least 1."""
    xp = namespace(used)
    return xp.maximum(xp.sum(xp.astype(used, "float32")), 1.0)


def compute_mask_loss(mask_logits: Array, labels: Array, targets: Array) -> Array:
    """The loss of the masks, a scalar: the mean over the cells of BCE(mask_logits[label], targets).

    mask_logits (K, mask outputs, ...), labels (K,), targets (K, ...) between 0 and 1, of the positive regions; behind
    the outputs stand the cells (m, m) of a mask, or points (P,).
    """
    xp = namespace(mask_logits)
    used = xp.astype(labels >= 0, "float32")
    own = select_class(mask_logits, xp.where(labels >= 0, labels, 0))
    cells = own.shape[1:]
    weights = xp.reshape(used, (-1, *[1] * len(cells)))
    total = xp.sum(xp.binary_cross_entropy_with_logits(own, targets) * weights)
    return total / (xp.maximum(xp.sum(used), 1.0) * math.prod(cells))


def select_class(mask_logits: Array, labels: Array) -> Array:
    """Each region's mask of its own class: (K, mask outputs, ...), (K,) -> (K, ...)"""
    xp = namespace(mask_logits)
    count, outputs, *size = mask_logits.shape
    flat = xp.reshape(mask_logits, (count * outputs, *size))
    return xp.take(flat, xp.arange(count, like=mask_logits) * outputs + labels)
