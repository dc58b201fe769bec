"""Boxes as offsets from anchors (R-CNN, SSD), on the array contract.

An offset is (dx, dy, dw, dh): the centres' distance over the anchor's size, and the logarithms of the sizes' ratios,
each times its weight, so that for a box (x, y, w, h) and an anchor (xa, ya, wa, ha), centres and sizes,

    dx = wx * (x - xa) / wa    dw = ww * log(w / wa)
    dy = wy * (y - ya) / ha    dh = wh * log(h / ha)

SSD's variances 0.1 and 0.2 are the weights 10, 10, 5, 5.
"""

import math

from common.array import Array, namespace
from common.boxes import to_centres, to_corners

# R-CNN: a decoded side is at most 1000/16 times the anchor's.
LARGEST_LOG_RATIO = math.log(1000.0 / 16)


def encode_centres(boxes: Array, anchors: Array, weights: tuple[float, float, float, float]) -> Array:
    """Boxes and anchors (..., 4), both centre x, centre y, width, height -> offsets (..., 4)"""
    xp = namespace(boxes, anchors)
    x, y, w, h = weights
    shift = (boxes[..., :2] - anchors[..., :2]) / anchors[..., 2:]
    growth = xp.log(boxes[..., 2:] / anchors[..., 2:])
    return xp.concatenate([shift, growth], axis=-1) * xp.asarray([x, y, w, h], like=boxes, dtype="float32")


def decode_centres(
    offsets: Array,
    anchors: Array,
    weights: tuple[float, float, float, float],
    largest: float | None = None,
    smallest: float | None = None,
) -> Array:
    """Offsets and anchors (..., 4) -> boxes (..., 4), anchors and boxes as centre x, centre y, width, height.

    `largest` and `smallest` bound the logarithm of a side's ratio from above and from below.
    """
    xp = namespace(offsets, anchors)
    offsets = offsets / xp.asarray(list(weights), like=offsets, dtype="float32")
    growth = offsets[..., 2:]
    if largest is not None:
        growth = xp.minimum(growth, largest)
    if smallest is not None:
        growth = xp.maximum(growth, smallest)
    return xp.concatenate(
        [anchors[..., :2] + offsets[..., :2] * anchors[..., 2:], anchors[..., 2:] * xp.exp(growth)], -1
    )


def encode(boxes: Array, anchors: Array, weights: tuple[float, float, float, float], offset: float = 0.0) -> Array:
    """R-CNN: boxes and anchors (..., 4) xyxy -> offsets (..., 4); `offset` is that of common/boxes.py"""
    return encode_centres(to_centres(boxes, offset), to_centres(anchors, offset), weights)


def decode(
    deltas: Array,
    anchors: Array,
    weights: tuple[float, float, float, float],
    offset: float = 0.0,
    largest: float = LARGEST_LOG_RATIO,
    smallest: float | None = None,
) -> Array:
    """R-CNN: offsets (N, 4 * C), one set a class, and anchors (N, 4) xyxy -> boxes (N, 4 * C) xyxy.

    `offset` is that of common/boxes.py; `largest` and `smallest` bound the logarithm of a side's ratio.
    """
    xp = namespace(deltas, anchors)
    count, width = deltas.shape
    deltas = xp.reshape(deltas, (count, width // 4, 4))
    boxes = decode_centres(deltas, to_centres(anchors, offset)[:, None], weights, largest, smallest)
    return xp.reshape(to_corners(boxes, offset), (count, width))
