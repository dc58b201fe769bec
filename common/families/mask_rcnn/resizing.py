"""An image of any size as the two-stage models take it; the originals differ in every point of this."""

import cv2
import numpy as np
from PIL import Image

from common.config import FreeSizePreprocessing
from common.data.transforms import normalise
from common.families.mask_rcnn.conventions import Convention


def resized_size(size: tuple[int, int], short_side: int, long_side: int, rules: Convention) -> tuple[int, int]:
    """The (height, width) of an image for the network: `short_side` or, where the long side would exceed `long_side`,

    less. `size_rule` says how: "short side" reduces the short side first, to a whole number; "smaller scale" scales by
    the smaller of the two scales; "both bounds" scales to the short side, then to the long one, and rounds.
    """
    short, long = min(size), max(size)
    if rules.size_rule == "smaller scale":
        scale = min(short_side / short, long_side / long)
        found = size[0] * scale, size[1] * scale
    elif rules.size_rule == "both bounds":
        scale = short_side / short
        found = tuple(short_side if side == short else side * scale for side in size)
        if max(found) > long_side:
            shrunk = long_side / max(found)
            found = found[0] * shrunk, found[1] * shrunk
        found = found[0] + 0.5, found[1] + 0.5
    else:
        if long / short * short_side > long_side:
            short_side = max(1, round(long_side * short / long))
        found = tuple(short_side if side == short else short_side * side / short for side in size)
    return max(1, int(found[0])), max(1, int(found[1]))


def resize(
    image: np.ndarray, size: tuple[int, int], preprocessing: FreeSizePreprocessing, rules: Convention
) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> (3, *size) float32, normalised, in the network's channel order; bilinear.

    OpenCV reads the four pixels next to a point, however much smaller the image becomes; Pillow then takes the mean
    over more of them, and rounds to bytes.
    """
    if rules.resizer == "OpenCV on floats":
        planes = normalise(image, preprocessing)
        return np.stack([cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR) for plane in planes])
    resized = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
    return normalise(np.asarray(resized), preprocessing)


def nearest(length: int, resized: int, rules: Convention) -> np.ndarray:
    """For each pixel of a resized side the one of the original side that it shows of a mask: (resized,) ascending.

    `nearest_pixel` says whether the pixels' upper left corners or their centres are measured.
    """
    if rules.nearest_pixel == "by corners":
        positions = np.arange(resized, dtype=np.float32) * np.float32(length / resized)
    else:
        positions = (np.arange(resized) + 0.5) * (length / resized)
    return np.minimum(np.floor(positions).astype(np.int64), length - 1)
