"""Losses that several models share, element by element, on the array contract."""

from common.array import Array, namespace


def smooth_l1(difference: Array, beta: float = 1.0) -> Array:
    """Computes the smooth L1 loss of differences d: d^2 / (2 beta) where |d| < beta, else |d| - beta / 2.

    With beta 0 it is |d|. The result has the shape of `difference`.
    """
    xp = namespace(difference)
    size = xp.abs(difference)
    if beta == 0:
        return size
    return xp.where(size < beta, 0.5 / beta * size * size, size - 0.5 * beta)


def cross_entropy(logits: Array, labels: Array) -> Array:
    """Computes the cross entropy -log_softmax(logits)[label] of each row: logits (N, C), labels (N,) -> (N,)."""
    xp = namespace(logits)
    return -xp.take_along_axis(xp.log_softmax(logits, 1), labels[:, None], 1)[:, 0]
