"""torchvision's ColorJitter of an image of bytes, as maskrcnn-benchmark trains with it."""

import numpy as np
from PIL import Image, ImageEnhance

from common.families.mask_rcnn.settings import RcnnAugmentation


def jitter_colours(image: np.ndarray, augmentation: RcnnAugmentation, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8 RGB -> the same with brightness, contrast, saturation and hue changed, in an order that is drawn.

    Each factor is drawn from 1 - x to 1 + x, not below 0, of its setting x; hue is moved by -x to x of its circle. A
    change that is set to 0 is left out, and nothing is drawn for it.
    """
    changes = [
        (augmentation.brightness, brightness),
        (augmentation.contrast, contrast),
        (augmentation.saturation, saturation),
        (augmentation.hue, hue),
    ]
    changes = [(extent, change) for extent, change in changes if extent > 0]
    if not changes:
        return image
    picture = Image.fromarray(image)
    for index in rng.permutation(len(changes)):
        extent, change = changes[index]
        middle = 0 if change is hue else 1
        lowest = -extent if change is hue else max(0.0, middle - extent)
        picture = change(picture, float(rng.uniform(lowest, middle + extent)))
    return np.asarray(picture)


def brightness(picture: Image.Image, factor: float) -> Image.Image:
    """The picture mixed with black: 0 is black, 1 the picture."""
    return ImageEnhance.Brightness(picture).enhance(factor)


def contrast(picture: Image.Image, factor: float) -> Image.Image:
    """The picture mixed with the mean of its grey values, rounded: 0 is that grey, 1 the picture."""
    return ImageEnhance.Contrast(picture).enhance(factor)


def saturation(picture: Image.Image, factor: float) -> Image.Image:
    """The picture mixed with its grey values: 0 is a grey picture, 1 the picture."""
    return ImageEnhance.Color(picture).enhance(factor)


def hue(picture: Image.Image, shift: float) -> Image.Image:
    """The picture with its hue, a byte on a circle of 256, moved by int(255 * shift)."""
    parts = picture.convert("HSV").split()
    moved = (np.asarray(parts[0], np.int64) + int(shift * 255)) % 256
    return Image.merge("HSV", (Image.fromarray(moved.astype(np.uint8)), *parts[1:])).convert("RGB")
