"""The losses of a cascade's box heads, on the array contract."""

from common.array import Array, namespace
from common.boxes import area
from common.families.cascade_mask_rcnn.settings import CascadeSettings
from common.families.mask_rcnn.losses import compute_class_loss, compute_offset_loss, select_offsets

# No area of a union, nor of a box around two, counts as less.
_SMALLEST_AREA = 1e-6


def compute_stage_losses(
    class_logits: Array,
    box_deltas: Array,
    rois: Array,
    labels: Array,
    offsets: Array,
    boxes: Array,
    settings: CascadeSettings,
) -> tuple[Array, Array]:
    """The losses of the regions' classes and of their boxes in one stage, two scalars without their weights.

    class_logits (R, C + 1), box_deltas (R, 4 * C), rois (R, 5), labels (R,), offsets (R, 4) that objects are to reach,
    boxes (R, 4) of the objects; of R' regions that count. The boxes' loss is Mask R-CNN's or

        sum over objects of 1 - GIoU(the box that box_deltas[label] makes, the object's box) / R'
    """
    classes = compute_class_loss(class_logits, labels)
    if settings.losses.boxes == "smooth l1":
        return classes, compute_offset_loss(box_deltas, labels, offsets, settings)
    xp = namespace(class_logits)
    own, positive, count = select_offsets(box_deltas, labels, settings)
    found = settings.rules.decode_regions(own, rois[:, 1:])
    return classes, xp.sum((1.0 - generalized_iou(found, boxes)) * positive) / count


def generalized_iou(a: Array, b: Array) -> Array:
    """(K, 4) and (K, 4) xyxy -> (K,): GIoU (Rezatofighi et al., 2019) of each pair of boxes, between -1 and 1.

        GIoU = intersection / union - (around - union) / around

    with `around` the area of the smallest box that holds both.
    """
    xp = namespace(a)
    shared = xp.maximum(xp.minimum(a[:, 2:], b[:, 2:]) - xp.maximum(a[:, :2], b[:, :2]), 0.0)
    overlap = shared[:, 0] * shared[:, 1]
    union = xp.maximum(area(a) + area(b) - overlap, _SMALLEST_AREA)
    hull = xp.maximum(xp.maximum(a[:, 2:], b[:, 2:]) - xp.minimum(a[:, :2], b[:, :2]), 0.0)
    around = xp.maximum(hull[:, 0] * hull[:, 1], _SMALLEST_AREA)
    return overlap / union - (around - union) / around
