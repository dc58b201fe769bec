"""The two-stage models' small masks in their boxes: pasted into the image, and drawn from polygons."""

import cv2
import numpy as np
from pycocotools import mask as rle

from common.families.mask_rcnn.conventions import Convention
from common.families.mask_rcnn.settings import MaskRcnnSettings
from common.results import Instances

# The least side of a box that polygons are drawn in, as in detectron2; maskrcnn-benchmark has none and draws forever.
_SMALLEST_SIDE = 0.1

Window = tuple[slice, slice]  # rows and columns of an image


def paste(masks: np.ndarray, boxes: np.ndarray, image_size: tuple[int, int], rules: Convention) -> np.ndarray:
    """Probabilities (N, m, m) in their boxes (N, 4) xyxy -> (N, *image_size) float32, zero outside.

    `pasting` says how: "resized" gives a mask a border of one zero cell and resizes it to its box in whole pixels, the
    last of which is inside; "sampled" reads the mask at each pixel's centre; "sampled inside" does, for centres in
    the box.
    """
    pasted = np.zeros((len(masks), *image_size), np.float32)
    for canvas, mask, box in zip(pasted, masks, boxes, strict=True):
        window, values = _fit(mask, box, image_size, rules)
        canvas[window] = values
    return pasted


def make_heat_maps(instances: Instances, settings: MaskRcnnSettings) -> np.ndarray:
    """The probabilities (N, m, m) of instances, each in its box -> (N, H, W) float32 in the image, zero outside."""
    boxes, size = instances.probability_boxes, instances.image_size
    return paste(instances.probabilities, boxes, size, settings.rules)


def paste_binary(masks: np.ndarray, boxes: np.ndarray, image_size: tuple[int, int], rules: Convention) -> np.ndarray:
    """The pixels of `paste` that belong to the objects, (N, *image_size) bool, without holding all probabilities.

    These are the pixels above a half, and with `half_is_inside` those of exactly a half.
    """
    pasted = np.zeros((len(masks), *image_size), bool)
    for canvas, mask, box in zip(pasted, masks, boxes, strict=True):
        window, values = _fit(mask, box, image_size, rules)
        canvas[window] = values >= 0.5 if rules.half_is_inside else values > 0.5
    return pasted


def _fit(
    mask: np.ndarray, box: np.ndarray, image_size: tuple[int, int], rules: Convention
) -> tuple[Window, np.ndarray]:
    """A mask (m, m) in a box (4,) xyxy -> the window of the image that it reaches, and its values there."""
    if rules.pasting == "resized":
        return _resize(mask, box, image_size)
    return _sample(mask, box, image_size, fringe=rules.pasting == "sampled")


def _resize(mask: np.ndarray, box: np.ndarray, image_size: tuple[int, int]) -> tuple[Window, np.ndarray]:
    """Enlarges the box by the border of zero cells, cuts it to whole pixels and resizes the mask to it."""
    size = len(mask) + 2
    middle, half = (box[:2] + box[2:]) * 0.5, (box[2:] - box[:2]) * 0.5 * (size / len(mask))
    x1, y1, x2, y2 = np.trunc(np.concatenate([middle - half, middle + half])).astype(int)
    width, height = max(x2 - x1 + 1, 1), max(y2 - y1 + 1, 1)
    resized = cv2.resize(np.pad(mask, 1), (width, height), interpolation=cv2.INTER_LINEAR)
    left, top = max(x1, 0), max(y1, 0)
    right, bottom = max(min(x2 + 1, image_size[1]), left), max(min(y2 + 1, image_size[0]), top)
    return (slice(top, bottom), slice(left, right)), resized[top - y1 : bottom - y1, left - x1 : right - x1]


def _sample(mask: np.ndarray, box: np.ndarray, image_size: tuple[int, int], fringe: bool) -> tuple[Window, np.ndarray]:
    """Reads the mask bilinearly where each pixel's centre lies in the box, with zeros around the mask.

    fringe: pixels whose centre lies outside the box, up to half a cell of the mask away, read the mask, too.
    """
    window, weights = [], []
    for low, high, length, cells in ((box[1], box[3], image_size[0], mask.shape[0]),
                                     (box[0], box[2], image_size[1], mask.shape[1])):  # fmt: skip
        first, end = max(int(np.floor(low)) - 1, 0), min(int(np.ceil(high)) + 1, length)
        if first >= end or high <= low:
            return (slice(0), slice(0)), np.zeros((0, 0), np.float32)
        positions = (np.arange(first, end, dtype=np.float32) + 0.5 - low) / (high - low) * cells - 0.5
        if not fringe:
            positions = np.where((positions >= -0.5) & (positions <= cells - 0.5), positions, -1)
        window.append(slice(first, end))
        weights.append(np.maximum(1 - np.abs(positions[:, None] - np.arange(cells)), 0).astype(np.float32))
    return (window[0], window[1]), weights[0] @ mask @ weights[1].T


def polygons_in_box(polygons: list[np.ndarray], box: np.ndarray, size: int) -> np.ndarray:
    """An object's polygons, each x, y, x, y, ..., seen in a box (4,) xyxy -> (size, size) bool."""
    x1, y1, x2, y2 = (float(value) for value in box)
    scale = np.array([size / max(x2 - x1, _SMALLEST_SIDE), size / max(y2 - y1, _SMALLEST_SIDE)])
    moved = [((np.reshape(polygon, (-1, 2)) - (x1, y1)) * scale).reshape(-1).tolist() for polygon in polygons]
    return rle.decode(rle.merge(rle.frPyObjects(moved, size, size))).astype(bool)
