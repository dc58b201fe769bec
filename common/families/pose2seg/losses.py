"""Pose2Seg's loss, on the array contract."""

from common.array import Array, namespace


def compute_mask_loss(logits: Array, masks: Array, persons: Array) -> Array:
    """Logits (P, 2, s, s) of background and person, masks (P, s, s) of 0 and 1 -> the cross entropy of a cell.

    persons: how many the mean is over, of the whole batch where it is shared out; without any the loss is 0.
    """
    xp = namespace(logits)
    # Cross entropy over two classes is that of the difference of their logits.
    cost = xp.binary_cross_entropy_with_logits(logits[:, 1] - logits[:, 0], xp.astype(masks, "float32"))
    return xp.sum(cost) / (xp.maximum(xp.sum(persons), 1.0) * (logits.shape[2] * logits.shape[3]))
