"""The five losses of Mask R-CNN, on the array contract.

Their rows are what was sampled, of all images of a batch; a row of label -1 fills up an array and counts nowhere.
"""

from common.array import Array, namespace
from common.families.mask_rcnn.settings import MaskRcnnSettings
from common.losses import cross_entropy, smooth_l1


def compute_rpn_losses(
    logits: Array, deltas: Array, labels: Array, targets: Array, images: int, settings: MaskRcnnSettings
) -> tuple[Array, Array]:
    """Of sampled anchors logits (S,), offsets (S, 4), labels (S,) 1, 0, -1 and offsets to reach (S, 4)

    -> the losses of objectness and of boxes. detectron2 divides by how many are wanted of so many images, the others
    by how many there are.
    """
    xp = namespace(logits)
    used, positive = (xp.astype(chosen, "float32") for chosen in (labels >= 0, labels > 0))
    if settings.convention == "detectron2":
        count = float(settings.losses.anchors_per_image * images)
    else:
        count = xp.maximum(xp.sum(used), 1.0)
    objectness = xp.sum(xp.binary_cross_entropy_with_logits(logits, positive) * used)
    boxes = xp.sum(smooth_l1(deltas - targets, settings.losses.rpn_beta) * positive[:, None])
    return objectness / count, boxes / count


def compute_box_losses(
    class_logits: Array, box_deltas: Array, labels: Array, targets: Array, settings: MaskRcnnSettings
) -> tuple[Array, Array]:
    """Of sampled regions logits (R, C + 1), offsets (R, 4 * boxes), columns (R,) and offsets to reach (R, 4)

    -> the losses of classes and of boxes, each over all rows.
    """
    xp = namespace(class_logits)
    rows, boxes = labels.shape[0], box_deltas.shape[1] // 4
    used = labels >= 0
    count = xp.maximum(xp.sum(xp.astype(used, "float32")), 1.0)
    columns = xp.where(used, labels, 0)
    classes = xp.sum(cross_entropy(class_logits, columns) * xp.astype(used, "float32"))
    if settings.network.background == "first":
        positive = labels > 0
    else:
        positive = xp.logical_and(used, labels < settings.num_classes)
    # The last column may have no box; its rows are not positive.
    own = xp.where(positive, labels, 0)[:, None, None]
    deltas = xp.reshape(box_deltas, (rows, boxes, 4))
    own = xp.take_along_axis(deltas, xp.broadcast_to(own, (rows, 1, 4)), 1)[:, 0]
    difference = smooth_l1(own - targets, settings.losses.box_beta)
    return classes / count, xp.sum(difference * xp.astype(positive, "float32")[:, None]) / count


def compute_mask_loss(mask_logits: Array, labels: Array, targets: Array) -> Array:
    """Of positive regions logits (K, mask outputs, m, m), columns (K,) and masks (K, m, m) -> the mean over them."""
    xp = namespace(mask_logits)
    used = xp.astype(labels >= 0, "float32")
    own = select_columns(mask_logits, xp.where(labels >= 0, labels, 0))
    total = xp.sum(xp.binary_cross_entropy_with_logits(own, targets) * used[:, None, None])
    return total / (xp.maximum(xp.sum(used), 1.0) * own.shape[1] ** 2)


def select_columns(mask_logits: Array, labels: Array) -> Array:
    """(K, mask outputs, m, m), (K,) -> (K, m, m)"""
    xp = namespace(mask_logits)
    count, outputs, *size = mask_logits.shape
    flat = xp.reshape(mask_logits, (count * outputs, *size))
    return xp.take(flat, xp.arange(count, like=mask_logits) * outputs + labels)
