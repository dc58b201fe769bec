"""Losses that several models share, elementwise, on the array contract."""

from common.array import Array, namespace


def smooth_l1(difference: Array, beta: float = 1.0) -> Array:
    """Half the square over beta below beta, from there on the absolute value less beta / 2; beta 0 is L1."""
    xp = namespace(difference)
    size = xp.abs(difference)
    if beta == 0:
        return size
    return xp.where(size < beta, 0.5 / beta * size * size, size - 0.5 * beta)


def cross_entropy(logits: Array, labels: Array) -> Array:
    """logits (N, C), labels (N,) -> (N,)"""
    xp = namespace(logits)
    return -xp.take_along_axis(xp.log_softmax(logits, 1), labels[:, None], 1)[:, 0]
