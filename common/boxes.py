"""Boxes as arrays (..., 4), on the array contract.

A box is xyxy, its corners, unless a name says otherwise. `offset` is what a side counts beyond x2 - x1: 0 where x2 is
the border, 1 where it is the last pixel inside. See docs/conventions.md.
"""

import numpy as np

from common.array import Array, namespace


def to_centres(boxes: Array, offset: float = 0.0) -> Array:
    """(..., 4) xyxy -> (..., 4) centre x, centre y, width, height"""
    sizes = boxes[..., 2:] - boxes[..., :2] + offset
    return namespace(boxes).concatenate([boxes[..., :2] + 0.5 * sizes, sizes], axis=-1)


def to_corners(centres: Array, offset: float = 0.0) -> Array:
    """(..., 4) centre x, centre y, width, height -> (..., 4) xyxy"""
    middle, sizes = centres[..., :2], centres[..., 2:]
    low = middle - 0.5 * sizes
    return namespace(centres).concatenate([low, middle + 0.5 * sizes - offset], axis=-1)


def area(boxes: Array, offset: float = 0.0) -> Array:
    """(..., 4) xyxy -> (...)"""
    return (boxes[..., 2] - boxes[..., 0] + offset) * (boxes[..., 3] - boxes[..., 1] + offset)


def intersection(a: Array, b: Array, offset: float = 0.0) -> Array:
    """(..., N, 4) and (..., M, 4) xyxy -> (..., N, M) areas, each box of `a` with each of `b`"""
    xp = namespace(a, b)
    sides = [
        xp.maximum(
            xp.minimum(a[..., :, None, k + 2], b[..., None, :, k + 2])
            - xp.maximum(a[..., :, None, k], b[..., None, :, k])
            + offset,
            0.0,
        )
        for k in (0, 1)
    ]
    return sides[0] * sides[1]


def pairwise_iou(a: Array, b: Array, offset: float = 0.0) -> Array:
    """(..., N, 4) and (..., M, 4) xyxy -> (..., N, M) intersection over union; two boxes of no area have 0"""
    xp = namespace(a, b)
    overlap = intersection(a, b, offset)
    union = area(a, offset)[..., :, None] + area(b, offset)[..., None, :] - overlap
    return overlap / xp.where(union > 0, union, 1.0)


def pairwise_ioa(a: Array, b: Array) -> Array:
    """(..., N, 4) and (..., M, 4) xyxy -> (..., N, M) intersection over the area of the box of `a`"""
    return intersection(a, b) / area(a)[..., :, None]


def clip(boxes: Array, image_size: tuple[int, int], offset: float = 0.0) -> Array:
    """(..., 4) xyxy moved into an image (height, width): 0..width - offset and 0..height - offset"""
    xp = namespace(boxes)
    limits = [image_size[1] - offset, image_size[0] - offset] * 2
    return xp.maximum(xp.minimum(boxes, xp.asarray(limits, like=boxes, dtype="float32")), 0.0)


def with_border(boxes: Array, offset: float) -> Array:
    """(..., 4) xyxy with this offset -> (..., 4) xyxy whose width is x2 - x1, as results have it: x2 is the border."""
    if offset == 0:
        return boxes
    return namespace(boxes).concatenate([boxes[..., :2], boxes[..., 2:] + offset], axis=-1)


def boxes_around(masks: np.ndarray) -> np.ndarray:
    """The boxes (N, 4) float32 xyxy around the true pixels of masks (N, H, W) bool; zeros for an empty mask."""
    boxes = np.zeros((len(masks), 4), np.float32)
    for first, axis in ((0, 1), (1, 2)):
        seen = masks.any(axis=axis)
        last = np.where(seen.any(axis=1), seen.shape[1] - seen[:, ::-1].argmax(axis=1), 0)
        boxes[:, first], boxes[:, first + 2] = seen.argmax(axis=1), last
    return boxes
