"""Masks as arrays: windows, resizing, and the R-CNN families' small masks in their boxes."""

import cv2
import numpy as np
from pycocotools import mask as rle

from common.array import Array, namespace
from common.boxes import Family

# Of a box that polygons are drawn in, as in detectron2; maskrcnn-benchmark knows none and draws without end.
_SMALLEST_SIDE = 0.1


def window(boxes: Array, size: tuple[int, int], margin: float) -> Array:
    """(..., 4) xyxy relative to the grid -> (..., h, w) float32: 1 in the box and `margin` cells around it, else 0.

    A cell is inside when its index is: low - margin <= index < high + margin. Corners may stand in either order.
    """
    xp = namespace(boxes)
    spans = []
    for low, high, count in ((boxes[..., 1], boxes[..., 3], size[0]), (boxes[..., 0], boxes[..., 2], size[1])):
        index = xp.astype(xp.arange(count, like=boxes), "float32")
        first, end = (edge[..., None] for edge in _edges(low, high, count, margin))
        spans.append(xp.astype(xp.logical_and(index >= first, index < end), "float32"))
    return spans[0][..., :, None] * spans[1][..., None, :]


def spans(low: np.ndarray, high: np.ndarray, count: int, margin: float) -> list[slice]:
    """Ends (N,) of boxes along one axis, relative to the grid -> the cells that `window` has inside, for each box."""
    cells = np.arange(count, dtype=np.float32)
    starts, stops = ((cells < edge[:, None]).sum(axis=1) for edge in _edges(low, high, count, margin))
    return [slice(start, stop) for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]


def _edges(low: Array, high: Array, count: int, margin: float) -> tuple[Array, Array]:
    """Ends relative to a grid of `count` cells -> where the inside begins, and where it ends, in cells."""
    xp = namespace(low)
    return xp.minimum(low, high) * count - margin, xp.maximum(low, high) * count + margin


def resize_binary(masks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(N, h, w) of any dtype -> (N, *size) bool: bilinear (align_corners False, no antialiasing), then > 0.5"""
    height, width = size
    resized = np.empty((len(masks), height, width), bool)
    for mask, result in zip(masks, resized, strict=True):
        soft = np.ascontiguousarray(mask, dtype=np.float32)
        np.greater(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR), 0.5, out=result)
    return resized


def paste(masks: np.ndarray, boxes: np.ndarray, image_size: tuple[int, int], family: Family) -> np.ndarray:
    """Probabilities (N, m, m) in their boxes (N, 4) xyxy -> (N, *image_size) float32, zero outside."""
    pasted = np.zeros((len(masks), *image_size), np.float32)
    for canvas, mask, box in zip(pasted, masks, boxes, strict=True):
        place, values = _placed(mask, box, image_size, family)
        canvas[place] = values
    return pasted


def paste_binary(masks: np.ndarray, boxes: np.ndarray, image_size: tuple[int, int], family: Family) -> np.ndarray:
    """As `paste`, but where the object is, (N, *image_size) bool, without all the probabilities in between.

    maskrcnn-benchmark and torchvision take values > 0.5, detectron2 >= 0.5.
    """
    pasted = np.zeros((len(masks), *image_size), bool)
    for canvas, mask, box in zip(pasted, masks, boxes, strict=True):
        place, values = _placed(mask, box, image_size, family)
        canvas[place] = values >= 0.5 if family == "detectron2" else values > 0.5
    return pasted


def _placed(
    mask: np.ndarray, box: np.ndarray, image_size: tuple[int, int], family: Family
) -> tuple[tuple[slice, slice], np.ndarray]:
    """The pixels of the image that a mask reaches, and its values there."""
    return _sampled(mask, box, image_size) if family == "detectron2" else _resized(mask, box, image_size)


def _resized(mask: np.ndarray, box: np.ndarray, image_size: tuple[int, int]) -> tuple[tuple[slice, slice], np.ndarray]:
    """maskrcnn-benchmark, torchvision: a border of one zero cell, whole pixels, and the last pixel is inside."""
    size = len(mask) + 2
    middle, half = (box[:2] + box[2:]) * 0.5, (box[2:] - box[:2]) * 0.5 * (size / len(mask))
    x1, y1, x2, y2 = np.trunc(np.concatenate([middle - half, middle + half])).astype(int)
    width, height = max(x2 - x1 + 1, 1), max(y2 - y1 + 1, 1)
    resized = cv2.resize(np.pad(mask, 1), (width, height), interpolation=cv2.INTER_LINEAR)
    left, top = max(x1, 0), max(y1, 0)
    right, bottom = max(min(x2 + 1, image_size[1]), left), max(min(y2 + 1, image_size[0]), top)
    return (slice(top, bottom), slice(left, right)), resized[top - y1 : bottom - y1, left - x1 : right - x1]


def _sampled(mask: np.ndarray, box: np.ndarray, image_size: tuple[int, int]) -> tuple[tuple[slice, slice], np.ndarray]:
    """detectron2: each pixel's centre reads the mask where it lies in the box, bilinear, zeros around the mask."""
    places, weights = [], []
    for low, high, length, cells in ((box[1], box[3], image_size[0], mask.shape[0]),
                                     (box[0], box[2], image_size[1], mask.shape[1])):  # fmt: skip
        first, end = max(int(np.floor(low)) - 1, 0), min(int(np.ceil(high)) + 1, length)
        if first >= end or high <= low:
            return (slice(0), slice(0)), np.zeros((0, 0), np.float32)
        positions = (np.arange(first, end, dtype=np.float32) + 0.5 - low) / (high - low) * cells - 0.5
        places.append(slice(first, end))
        weights.append(np.maximum(1 - np.abs(positions[:, None] - np.arange(cells)), 0).astype(np.float32))
    return (places[0], places[1]), weights[0] @ mask @ weights[1].T


def polygons_in_box(polygons: list[np.ndarray], box: np.ndarray, size: int) -> np.ndarray:
    """An object's polygons, each x, y, x, y, ..., seen in a box (4,) xyxy -> (size, size) bool."""
    x1, y1, x2, y2 = (float(value) for value in box)
    scale = np.array([size / max(x2 - x1, _SMALLEST_SIDE), size / max(y2 - y1, _SMALLEST_SIDE)])
    moved = [((np.reshape(polygon, (-1, 2)) - (x1, y1)) * scale).reshape(-1).tolist() for polygon in polygons]
    return rle.decode(rle.merge(rle.frPyObjects(moved, size, size))).astype(bool)
