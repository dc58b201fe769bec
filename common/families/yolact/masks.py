"""YOLACT's masks: windows around boxes on a grid, and resizing."""

import cv2
import numpy as np

from common.array import Array, namespace
from common.config import Settings
from common.results import Instances


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


def make_heat_maps(instances: Instances, settings: Settings) -> np.ndarray:
    """The probabilities (N, h, w) of instances, which lie in the whole image -> (N, H, W) float32, bilinear."""
    height, width = instances.image_size
    maps = np.zeros((len(instances), height, width), np.float32)
    for heat_map, probabilities in zip(maps, instances.probabilities, strict=True):
        cv2.resize(probabilities, (width, height), dst=heat_map, interpolation=cv2.INTER_LINEAR)
    return maps
