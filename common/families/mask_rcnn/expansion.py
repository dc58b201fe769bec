"""Expansion: an image on a larger black ground, which makes its objects smaller once it is resized."""

from dataclasses import replace

import numpy as np
from pycocotools import mask as rle

from common.data.coco import Objects
from common.data.transforms import maybe


def maybe_expand(
    image: np.ndarray, objects: Objects, largest: float, rng: np.random.Generator
) -> tuple[np.ndarray, Objects]:
    """An image (H, W, 3) and its objects, half of the time as `expand` gives them.

    The ground is up to `largest` times as high and as wide, and the image lies anywhere on it; 1 leaves all as it is.
    """
    if largest == 1 or not maybe(rng):
        return image, objects
    ratio, left, top = rng.uniform(1, largest), rng.random(), rng.random()
    return expand(image, objects, ratio, (left, top))


def expand(image: np.ndarray, objects: Objects, ratio: float, place: tuple[float, float]) -> tuple[np.ndarray, Objects]:
    """An image (H, W, 3) on a ground of `ratio` times its sides, and its objects in that image's pixels.

    place: x and y in 0..1, which share of the ground's free width lies left of the image and of its height above it.
    """
    height, width = image.shape[:2]
    left, top = int(place[0] * (width * ratio - width)), int(place[1] * (height * ratio - height))
    size = int(height * ratio), int(width * ratio)
    ground = np.zeros((*size, 3), image.dtype)
    ground[top : top + height, left : left + width] = image
    moved = replace(
        objects,
        boxes=objects.boxes + np.float32([left, top, left, top]),
        boxes_in_file=objects.boxes_in_file + np.array([left, top, 0, 0]),
        rles=[packed and _move(packed, size, (left, top)) for packed in objects.rles],
    )
    return ground, moved


def _move(packed: dict, size: tuple[int, int], corner: tuple[int, int]) -> dict:
    """A mask as an RLE -> the RLE of a mask of `size` (H, W), with the first one's upper left pixel at (x, y)."""
    (height, width), (left, top) = packed["size"], corner
    mask = np.zeros(size, np.uint8, order="F")
    mask[top : top + height, left : left + width] = rle.decode(packed)
    return rle.encode(mask)
