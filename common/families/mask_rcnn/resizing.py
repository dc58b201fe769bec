"""Resizes images for Mask R-CNN's networks by the rules of each original, which differ in every point."""

import cv2
import numpy as np
from PIL import Image

from common.config import FreeSizePreprocessing
from common.data.transforms import normalise
from common.families.mask_rcnn.conventions import Convention


def resized_size(size: tuple[int, int], short_side: int, long_side: int, rules: Convention) -> tuple[int, int]:
    """Computes the size (H, W) of a resized image: with this short side, or less if the long side would be too long.

    The convention's `size_rule` says how: "short side" reduces the short side first, to a whole number; "smaller scale"
    scales by the smaller of the two scales; "both bounds" scales to the short side, then to the long one, and rounds.
    """
    short, long = min(size), max(size)
    if rules.size_rule == "smaller scale":
        scale = min(short_side / short, long_side / long)
        height, width = size[0] * scale, size[1] * scale
    elif rules.size_rule == "both bounds":
        scale = short_side / short
        height, width = (short_side if side == short else side * scale for side in size)
        if max(height, width) > long_side:
            shrinking = long_side / max(height, width)
            height, width = height * shrinking, width * shrinking
        height, width = height + 0.5, width + 0.5
    else:
        if long / short * short_side > long_side:
            short_side = max(1, round(long_side * short / long))
        height, width = (short_side if side == short else short_side * side / short for side in size)
    return max(1, int(height)), max(1, int(width))


def resize(
    image: np.ndarray, size: tuple[int, int], preprocessing: FreeSizePreprocessing, rules: Convention
) -> np.ndarray:
    """Resizes an image (H, W, 3) uint8 RGB, bilinear, and normalises it: (3, *size) float32 in the network's channels.

    OpenCV reads the four pixels next to a point, however much smaller the image becomes; Pillow then takes the mean
    over more of them, and rounds to bytes.
    """
    if rules.resizer == "OpenCV on floats":
        planes = normalise(image, preprocessing)
        return np.stack([cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR) for plane in planes])
    resized = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
    return normalise(np.asarray(resized), preprocessing)


def find_nearest(length: int, resized: int, rules: Convention) -> np.ndarray:
    """For each pixel of a resized side the one of the original side that it shows of a mask: (resized,) ascending.

    `nearest_pixel` says whether the pixels' upper left corners or their centres are measured.
    """
    if rules.nearest_pixel == "by corners":
        positions = np.arange(resized, dtype=np.float32) * np.float32(length / resized)
    else:
        positions = (np.arange(resized) + 0.5) * (length / resized)
    return np.minimum(np.floor(positions).astype(np.int64), length - 1)
