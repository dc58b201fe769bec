"""Crops YOLACT's masks to boxes on the prototypes' grid, and resizes masks."""

import cv2
import numpy as np

from common.array import Array, namespace
from common.config import Settings
from common.results import Instances


def make_windows(boxes: Array, size: tuple[int, int], margin: float) -> Array:
    """Marks each box's cells on a grid of `size` (h, w): 1 in the box and `margin` cells around it, else 0.

    boxes: (..., 4) xyxy as shares of the grid's sides, the two corners in either order. Returns (..., h, w) float32. A
    cell is inside if low - margin <= index < high + margin along both axes.
    """
    xp = namespace(boxes)
    inside = []
    for low, high, count in ((boxes[..., 1], boxes[..., 3], size[0]), (boxes[..., 0], boxes[..., 2], size[1])):
        index = xp.astype(xp.arange(count, like=boxes), "float32")
        first, end = (edge[..., None] for edge in _edges(low, high, count, margin))
        inside.append(xp.astype(xp.logical_and(index >= first, index < end), "float32"))
    return inside[0][..., :, None] * inside[1][..., None, :]


def find_spans(low: np.ndarray, high: np.ndarray, count: int, margin: float) -> list[slice]:
    """Finds each box's cells along one axis of `count` cells: those that `make_windows` marks.

    low, high: (N,), the boxes' ends as shares of the axis.
    """
    cells = np.arange(count, dtype=np.float32)
    starts, stops = ((cells < edge[:, None]).sum(axis=1) for edge in _edges(low, high, count, margin))
    return [slice(start, stop) for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]


def _edges(low: Array, high: Array, count: int, margin: float) -> tuple[Array, Array]:
    """Returns where the windows begin and end along an axis of `count` cells, in cells; `low` and `high` are shares."""
    xp = namespace(low)
    return xp.minimum(low, high) * count - margin, xp.maximum(low, high) * count + margin


def resize_binary(masks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes masks (N, h, w) of any dtype to (N, *size) bool: bilinear without antialiasing, then > 0.5.

    Pixel centres lie at half numbers, which is `align_corners=False`.
    """
    height, width = size
    resized = np.empty((len(masks), height, width), bool)
    for mask, binary in zip(masks, resized, strict=True):
        soft = np.ascontiguousarray(mask, dtype=np.float32)
        np.greater(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR), 0.5, out=binary)
    return resized


def make_heat_maps(instances: Instances, settings: Settings) -> np.ndarray:
    """Resizes the probabilities (N, h, w) of an image's instances to the image's size, bilinear: (N, H, W) float32."""
    height, width = instances.image_size
    maps = np.zeros((len(instances), height, width), np.float32)
    for heat_map, probabilities in zip(maps, instances.probabilities, strict=True):
        cv2.resize(probabilities, (width, height), dst=heat_map, interpolation=cv2.INTER_LINEAR)
    return maps
