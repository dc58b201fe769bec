"""Resizes images for Mask R-CNN's networks by the rules of each original, which differ in every point."""

from dataclasses import dataclass

import cv2
import numpy as np

from common.config import FreeSizePreprocessing
from common.data.transforms import fitted_sides, normalise, resize_by_pillow
from common.families.mask_rcnn.conventions import Convention


def resized_size(size: tuple[int, int], short_side: int, long_side: int, rules: Convention) -> tuple[int, int]:
    """Computes the size (H, W) of a resized image: with this short side, or less if the long side would be too long.

    The convention's `size_rule` says how: "short side" reduces the short side first, to a whole number; "smaller scale"
    scales by the smaller of the two scales, and "rounded scale" rounds the sides then; "both bounds" scales to the
    short side, then to the long one, and rounds; "canvas" scales as `scale_to_canvas` does.
    """
    short, long = min(size), max(size)
    if rules.size_rule == "canvas":
        return scale_to_canvas(size, (short_side, long_side))[-1][0]
    if rules.size_rule in ("smaller scale", "rounded scale"):
        scale = min(short_side / short, long_side / long)
        half = 0.5 if rules.size_rule == "rounded scale" else 0.0
        height, width = size[0] * scale + half, size[1] * scale + half
    elif rules.size_rule == "both bounds":
        height, width = (side + 0.5 for side in fitted_sides(size, short_side, long_side))
    else:
        if long / short * short_side > long_side:
            short_side = max(1, round(long_side * short / long))
        height, width = (short_side if side == short else short_side * side / short for side in size)
    return max(1, int(height)), max(1, int(width))


@dataclass(frozen=True)
class Resizing:
    """How an image of the size `original` (H, W) is resized.

    size (H, W): the resized image's. ratios: by what x and y of boxes are multiplied. bitmap_size (H, W): that of
    resized bitmaps, which may be a pixel off where an image is resized in two steps. padded (H, W): that of the canvas
    on which the image stands, or the resized image's where there is none.
    """

    original: tuple[int, int]
    size: tuple[int, int]
    ratios: tuple[float, float]
    bitmap_size: tuple[int, int]
    padded: tuple[int, int]


def plan_resizing(original: tuple[int, int], short_side: int, long_side: int, rules: Convention) -> Resizing:
    """How an image of a size (H, W) is resized to this short side, or less if the long side would be too long."""
    size = resized_size(original, short_side, long_side, rules)
    if rules.size_rule != "canvas":
        return Resizing(original, size, (size[1] / original[1], size[0] / original[0]), size, size)
    scale = find_scale(original, (short_side, long_side))
    return Resizing(original, size, (scale, scale), _rounded(original, scale), (short_side, long_side))


def scale_to_canvas(size: tuple[int, int], canvas: tuple[int, int]) -> list[tuple[tuple[int, int], float]]:
    """The steps in which an image of a size (H, W) is made to fit on a canvas, each (H, W) and the scale up to there.

    First its long side is brought to the canvas' long side or its short side to the short one, whichever makes it
    smaller, as if the image lay. One that is then higher than the canvas is scaled once more, to the canvas' height.
    Sides are int(side * scale + 0.5).
    """
    scale = min(max(canvas) / max(size), min(canvas) / min(size))
    steps = [(_rounded(size, scale), scale)]
    (height, width), _ = steps[0]
    if height > canvas[0]:
        again = canvas[0] / max(height, width)
        steps.append((_rounded((height, width), again), scale * again))
    return steps


def find_scale(size: tuple[int, int], canvas: tuple[int, int]) -> float:
    """By what an image of a size (H, W) is scaled on a canvas, before its sides are rounded."""
    return scale_to_canvas(size, canvas)[-1][1]


def _rounded(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return int(size[0] * scale + 0.5), int(size[1] * scale + 0.5)


def resize(
    image: np.ndarray, size: tuple[int, int], preprocessing: FreeSizePreprocessing, rules: Convention
) -> np.ndarray:
    """Resizes an image (H, W, 3) uint8 RGB, bilinear, and normalises it: (3, *size) float32 in the network's channels.

    OpenCV reads the four pixels next to a point, however much smaller the image becomes; Pillow then takes the mean
    over more of them, and rounds to bytes. Where the convention has a canvas, the result is all of it, black outside
    the image.
    """
    if rules.size_rule == "canvas":
        return _put_on_canvas(image, preprocessing)
    if rules.resizer == "OpenCV on floats":
        planes = normalise(image, preprocessing)
        return np.stack([cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR) for plane in planes])
    if rules.resizer == "OpenCV on bytes":
        return normalise(cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR), preprocessing)
    return normalise(resize_by_pillow(image, size), preprocessing)


def _put_on_canvas(image: np.ndarray, preprocessing: FreeSizePreprocessing) -> np.ndarray:
    """Resizes an image (H, W, 3) uint8 RGB step by step, puts it in the canvas' upper left corner and normalises it.

    The padding is normalised, too, and comes to -mean / deviation.
    """
    canvas = np.zeros((*preprocessing.canvas, 3), np.uint8)
    for (height, width), _ in scale_to_canvas(image.shape[:2], preprocessing.canvas):
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    canvas[:height, :width] = image
    return normalise(canvas, preprocessing)


def find_nearest(length: int, resized: int, rules: Convention) -> np.ndarray:
    """For each pixel of a resized side the one of the original side that it shows of a mask: (resized,) ascending.

    `nearest_pixel` says whether the pixels' upper left corners or their centres are measured; OpenCV measures corners,
    more precisely.
    """
    if rules.nearest_pixel == "OpenCV's":
        numbers = np.arange(length, dtype=np.float32)[None]
        return cv2.resize(numbers, (resized, 1), interpolation=cv2.INTER_NEAREST)[0].astype(np.int64)
    if rules.nearest_pixel == "by corners":
        positions = np.arange(resized, dtype=np.float32) * np.float32(length / resized)
    else:
        positions = (np.arange(resized) + 0.5) * (length / resized)
    return np.minimum(np.floor(positions).astype(np.int64), length - 1)
