"""Pose2Seg's loss, on the array contract."""

from common.array import Array, namespace


def compute_mask_loss(logits: Array, masks: Array, persons: Array) -> Array:
    """Computes the mean cross entropy of the persons' cells, sum(softplus(z) - t z) / (persons * s * s).

    logits: (P, 2, s, s) of background and person, whose difference is z; masks: (P, s, s) of 0 and 1, the truth t;
    persons: how many the whole batch has, also on other ranks, in an array of any shape. Without persons the loss is 0.
    """
    xp = namespace(logits)
    # Cross entropy over two classes is that of the difference of their logits.
    cost = xp.binary_cross_entropy_with_logits(logits[:, 1] - logits[:, 0], xp.astype(masks, "float32"))
    return xp.sum(cost) / (xp.maximum(xp.sum(persons), 1.0) * (logits.shape[2] * logits.shape[3]))
