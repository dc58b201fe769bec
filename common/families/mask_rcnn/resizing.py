"""An image of any size as Mask R-CNN's networks take it, by the rules of each original, which differ in every point."""

import cv2
import numpy as np
from PIL import Image

from common.boxes import Convention
from common.config import FreeSizePreprocessing
from common.data.transforms import normalise


def resized_size(size: tuple[int, int], short_side: int, long_side: int, family: Convention) -> tuple[int, int]:
    """The size (H, W) with this short side, or less where the long side would exceed `long_side`."""
    short, long = min(size), max(size)
    if family == "torchvision":
        scale = min(short_side / short, long_side / long)
        found = size[0] * scale, size[1] * scale
    elif family == "detectron2":
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
    image: np.ndarray, size: tuple[int, int], preprocessing: FreeSizePreprocessing, family: Convention
) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> (3, *size) float32, normalised, in the network's channel order; bilinear.

    torchvision reads the four pixels next to a place, however much smaller the image becomes; the others resize bytes
    with Pillow, which then takes the mean over more of them, and get bytes.
    """
    if family == "torchvision":
        planes = normalise(image, preprocessing)
        return np.stack([cv2.resize(plane, size[::-1], interpolation=cv2.INTER_LINEAR) for plane in planes])
    resized = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
    return normalise(np.asarray(resized), preprocessing)


def nearest(length: int, resized: int, family: Convention) -> np.ndarray:
    """For each pixel of a resized side the one that it shows of a mask: (resized,) ascending.

    torchvision measures from the pixels' upper left corners; detectron2, with Pillow, from their centres.
    """
    if family == "torchvision":
        places = np.arange(resized, dtype=np.float32) * np.float32(length / resized)
    else:
        places = (np.arange(resized) + 0.5) * (length / resized)
    return np.minimum(np.floor(places).astype(np.int64), length - 1)
