"""YOLACT's losses, on the array contract: rectangular arrays, the same operations whatever the images hold."""

from collections.abc import Callable

from common.array import Array, namespace
from common.families.yolact.geometry import CROP_MARGIN
from common.families.yolact.masks import window
from common.families.yolact.settings import YolactSettings
from common.losses import smooth_l1

# What a true pixel outside of the window costs: the original takes log(0) as -100.
LOST_PIXEL = 100.0


def compute_losses(
    outputs: dict[str, Array],
    batch: dict[str, Array],
    settings: YolactSettings,
    mask_iou_net: Callable[[Array], Array] | None = None,
) -> dict[str, Array]:
    """The weighted terms: B boxes, C classes, M masks, S semantic, and I mask IoU where there is a net for it.

    batch: the arrays of `collate` in the outputs' framework. mask_iou_net: (N, 1, h, w) -> (N, C).
    """
    weights = settings.losses
    xp = namespace(outputs["loc"])
    positives = xp.maximum(batch["normaliser.positives"], 1.0)
    masks, rescoring = _mask_losses(outputs, batch, mask_iou_net)
    terms = {
        "B": weights.box_weight * _box_loss(outputs["loc"], batch) / positives,
        "C": weights.class_weight * _class_loss(outputs["conf"], batch) / positives,
        "M": weights.mask_weight * masks / positives,
        "S": weights.semantic_weight * _semantic_loss(outputs["segm"], batch) / batch["normaliser.images"],
    }
    if rescoring is not None:
        terms["I"] = weights.mask_iou_weight * rescoring / positives
    return terms


def _box_loss(offsets: Array, batch: dict[str, Array]) -> Array:
    xp = namespace(offsets)
    positive = xp.astype(batch["class_targets"] > 0, "float32")
    return xp.sum(positive[:, :, None] * smooth_l1(offsets - batch["box_targets"]))


def _class_loss(logits: Array, batch: dict[str, Array]) -> Array:
    """Cross entropy over the positives and, an image, the background priors that look least like background."""
    xp = namespace(logits)
    classes = batch["class_targets"]
    total = xp.logsumexp(logits, 2)
    hardness = xp.where(classes == 0, xp.stop_gradient(total - logits[:, :, 0]), -1.0)
    rank = xp.argsort(xp.argsort(hardness, 1, descending=True), 1)
    negative = xp.logical_and(classes == 0, rank < batch["negatives"][:, None])
    counted = xp.astype(xp.logical_or(classes > 0, negative), "float32")
    chosen = xp.take_along_axis(logits, xp.maximum(classes, 0)[:, :, None], 2)[:, :, 0]
    return xp.sum(counted * (total - chosen))


def _mask_losses(
    outputs: dict[str, Array], batch: dict[str, Array], mask_iou_net: Callable[[Array], Array] | None
) -> tuple[Array, Array | None]:
    """The mask loss of the chosen positives and, with a net for it, the loss of the predicted mask IoU."""
    xp = namespace(outputs["mask"])
    images, height, width, channels = outputs["proto"].shape
    count, pixels = batch["positive_index"].shape[1], height * width
    prototypes = xp.transpose(xp.reshape(outputs["proto"], (images, pixels, channels)), (0, 2, 1))
    logits = xp.matmul(_rows(outputs["mask"], batch["positive_index"]), prototypes)  # (images, count, pixels)
    objects = batch["object_masks"]
    objects = xp.reshape(xp.astype(objects, "float32"), (images, objects.shape[1], pixels))
    truth = _rows(objects, batch["positive_object"])
    inside = xp.reshape(window(batch["positive_box"], (height, width), CROP_MARGIN), (images, count, pixels))

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


def _rows(values: Array, indices: Array) -> Array:
    """values (B, N, D), indices (B, K) -> (B, K, D): for each image the rows that its indices name"""
    xp = namespace(values, indices)
    images, rows, columns = values.shape
    flat = xp.reshape(indices + rows * xp.arange(images, like=indices)[:, None], (-1,))
    return xp.reshape(xp.take(xp.reshape(values, (images * rows, columns)), flat), (images, indices.shape[1], columns))


def _semantic_loss(logits: Array, batch: dict[str, Array]) -> Array:
    xp = namespace(logits)
    cost = xp.binary_cross_entropy_with_logits(logits, xp.astype(batch["semantic"], "float32"))
    return xp.sum(cost) / (logits.shape[2] * logits.shape[3])
