"""The two-stage models' small masks in their boxes: put into the image, and drawn from polygons."""

import cv2
import numpy as np
from pycocotools import mask as rle

from common.boxes import Convention
from common.families.mask_rcnn.settings import MaskRcnnSettings
from common.results import Instances

# Of a box that polygons are drawn in, as in detectron2; maskrcnn-benchmark knows none and draws without end.
_SMALLEST_SIDE = 0.1


def paste(masks: np.ndarray, boxes: np.ndarray, image_size: tuple[int, int], family: Convention) -> np.ndarray:
    """Probabilities (N, m, m) in their boxes (N, 4) xyxy -> (N, *image_size) float32, zero outside."""
    pasted = np.zeros((len(masks), *image_size), np.float32)
    for canvas, mask, box in zip(pasted, masks, boxes, strict=True):
        place, values = _placed(mask, box, image_size, family)
        canvas[place] = values
    return pasted


def make_heat_maps(instances: Instances, settings: MaskRcnnSettings) -> np.ndarray:
    """The probabilities (N, m, m) of instances, each in its box -> (N, H, W) float32 in the image, zero outside."""
    boxes, size = instances.probability_boxes, instances.image_size
    return paste(instances.probabilities, boxes, size, settings.convention)


def paste_binary(masks: np.ndarray, boxes: np.ndarray, image_size: tuple[int, int], family: Convention) -> np.ndarray:
    """As `paste`, but where the object is, (N, *image_size) bool, without all the probabilities in between.

    maskrcnn-benchmark and torchvision take values > 0.5, detectron2 >= 0.5.
    """
    pasted = np.zeros((len(masks), *image_size), bool)
    for canvas, mask, box in zip(pasted, masks, boxes, strict=True):
        place, values = _placed(mask, box, image_size, family)
        canvas[place] = values >= 0.5 if family == "detectron2" else values > 0.5
    return pasted


def _placed(
    mask: np.ndarray, box: np.ndarray, image_size: tuple[int, int], family: Convention
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
