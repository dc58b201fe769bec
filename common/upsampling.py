"""Enlarging maps otherwise than the array contract's `resize` does."""

from common.array import Array, namespace


def double_from_corners(x: Array) -> Array:
    """Maps (N, C, h, w) -> (N, C, 2 * h, 2 * w), bilinear between the cells' upper left corners.

    Cell i of the result is read at i / 2 of the map, so that every second one is a cell of it, and the others are the
    mean of two; behind the last cell it is repeated. `resize` measures the cells' centres.
    """
    xp = namespace(x)
    count, channels, height, width = x.shape
    below = xp.concatenate([x[:, :, 1:], x[:, :, -1:]], axis=2)
    x = xp.concatenate([x[:, :, :, None], 0.5 * (x + below)[:, :, :, None]], axis=3)
    x = xp.reshape(x, (count, channels, 2 * height, width))
    beside = xp.concatenate([x[..., 1:], x[..., -1:]], axis=3)
    x = xp.concatenate([x[..., None], 0.5 * (x + beside)[..., None]], axis=4)
    return xp.reshape(x, (count, channels, 2 * height, 2 * width))
