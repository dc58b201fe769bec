"""YOLACT's losses, on the array contract.

All arrays are rectangular, so that the operations are the same however many objects the images hold.
"""

from collections.abc import Callable

from common.array import Array, namespace
from common.families.yolact.geometry import CROP_MARGIN
from common.families.yolact.masks import make_windows
from common.families.yolact.settings import YolactSettings
from common.losses import smooth_l1

# The cost of a true pixel outside of the window, whose probability is 0: the original takes log(0) as -100.
LOST_PIXEL = 100.0


def compute_losses(
    outputs: dict[str, Array],
    batch: dict[str, Array],
    settings: YolactSettings,
    mask_iou_net: Callable[[Array], Array] | None = None,
) -> dict[str, Array]:
    """Computes the weighted losses: B boxes, C classes, M masks, S semantic, and I mask IoU if there is a net for it.

    outputs: the network's, as `common/families/yolact/__init__.py` names them; batch: the arrays of `collate`, in the
    outputs' framework; mask_iou_net: (N, 1, h, w) masks -> (N, C) predicted IoUs. Each loss is a sum, which is divided
    by the number of positive priors in the batch, or for S by the number of images, and multiplied by its weight.
    """
    weights = settings.losses
    xp = namespace(outputs["loc"])
    positives = xp.maximum(batch["normaliser.positives"], 1.0)
    mask_loss, mask_iou_loss = _mask_losses(outputs, batch, mask_iou_net)
    terms = {
        "B": weights.box_weight * _box_loss(outputs["loc"], batch) / positives,
        "C": weights.class_weight * _class_loss(outputs["conf"], batch) / positives,
        "M": weights.mask_weight * mask_loss / positives,
        "S": weights.semantic_weight * _semantic_loss(outputs["segm"], batch) / batch["normaliser.images"],
    }
    if mask_iou_loss is not None:
        terms["I"] = weights.mask_iou_weight * mask_iou_loss / positives
    return terms


def _box_loss(offsets: Array, batch: dict[str, Array]) -> Array:
    """Sums smooth_l1(offset - target) over the four offsets of all positive priors; offsets: (B, P, 4)."""
    xp = namespace(offsets)
    positive = xp.astype(batch["class_targets"] > 0, "float32")
    return xp.sum(positive[:, :, None] * smooth_l1(offsets - batch["box_targets"]))


def _class_loss(logits: Array, batch: dict[str, Array]) -> Array:
    """Sums the cross entropy logsumexp(logits) - logits[class] over the positive and the hard negative priors.

    logits: (B, P, C + 1). An image's hard negatives are its `negatives` background priors with the highest loss.
    """
    xp = namespace(logits)
    classes = batch["class_targets"]
    total = xp.logsumexp(logits, 2)
    hardness = xp.where(classes == 0, xp.stop_gradient(total - logits[:, :, 0]), -1.0)
    rank = xp.argsort(xp.argsort(hardness, 1, descending=True), 1)
    negative = xp.logical_and(classes == 0, rank < batch["negatives"][:, None])
    counted = xp.astype(xp.logical_or(classes > 0, negative), "float32")
    own_logit = xp.take_along_axis(logits, xp.maximum(classes, 0)[:, :, None], 2)[:, :, 0]
    return xp.sum(counted * (total - own_logit))


def _mask_losses(
    outputs: dict[str, Array], batch: dict[str, Array], mask_iou_net: Callable[[Array], Array] | None
) -> tuple[Array, Array | None]:
    """Sums the mask loss and, with a net for it, the mask IoU loss over the batch's sampled positives.

    A mask's probability in a pixel is p = sigmoid(coefficients . prototypes) inside its window, and 0 outside; t is the
    truth. The mask loss is the sum over the pixels of the cross entropy of p and t, times `positive_weight`. The mask
    IoU loss is smooth_l1(predicted IoU - IoU of p > 0.5 with t) of the positives that `positive_rescored` marks.
    """
    xp = namespace(outputs["mask"])
    images, height, width, channels = outputs["proto"].shape
    count, pixels = batch["positive_index"].shape[1], height * width
    prototypes = xp.transpose(xp.reshape(outputs["proto"], (images, pixels, channels)), (0, 2, 1))
    logits = xp.matmul(_take_rows(outputs["mask"], batch["positive_index"]), prototypes)  # (images, count, pixels)
    objects = batch["object_masks"]
    objects = xp.reshape(xp.astype(objects, "float32"), (images, objects.shape[1], pixels))
    truth = _take_rows(objects, batch["positive_object"])
    inside = xp.reshape(make_windows(batch["positive_box"], (height, width), CROP_MARGIN), (images, count, pixels))

    cost = inside * xp.binary_cross_entropy_with_logits(logits, truth) + LOST_PIXEL * (1.0 - inside) * truth
    loss = xp.sum(xp.sum(cost, 2) * batch["positive_weight"])
    if mask_iou_net is None:
        return loss, None
    masks = xp.reshape(xp.sigmoid(logits) * inside, (images * count, 1, height, width))
    predicted = mask_iou_net(masks)
    labels = xp.reshape(batch["positive_class"], (images * count, 1))
    predicted = xp.reshape(xp.take_along_axis(predicted, labels, 1), (images, count))
    binary = xp.astype(xp.reshape(xp.stop_gradient(masks), (images, count, pixels)) > 0.5, "float32")
    overlap = xp.sum(binary * truth, 2)
    union = xp.sum(binary, 2) + xp.sum(truth, 2) - overlap
    error = smooth_l1(predicted - overlap / xp.maximum(union, 1.0))
    return loss, xp.sum(error * batch["positive_rescored"])


def _take_rows(values: Array, indices: Array) -> Array:
    """Takes from each image's rows (B, N, D) those that its indices (B, K) name: (B, K, D)."""
    xp = namespace(values, indices)
    images, rows, width = values.shape
    flat = xp.reshape(indices + rows * xp.arange(images, like=indices)[:, None], (-1,))
    return xp.reshape(xp.take(xp.reshape(values, (images * rows, width)), flat), (images, indices.shape[1], width))


def _semantic_loss(logits: Array, batch: dict[str, Array]) -> Array:
    """Sums the binary cross entropy of logits (B, C, h, w) over images and classes, as a mean over the h * w cells."""
    xp = namespace(logits)
    cost = xp.binary_cross_entropy_with_logits(logits, xp.astype(batch["semantic"], "float32"))
    return xp.sum(cost) / (logits.shape[2] * logits.shape[3])
