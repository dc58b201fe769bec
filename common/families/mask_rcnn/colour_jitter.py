"""Changes an image's colours at random as torchvision's ColorJitter does, with which maskrcnn-benchmark trains."""

import numpy as np
from PIL import Image, ImageEnhance

from common.families.mask_rcnn.settings import RcnnAugmentation


def jitter_colours(image: np.ndarray, settings: RcnnAugmentation, rng: np.random.Generator) -> np.ndarray:
    """Changes brightness, contrast, saturation and hue of an image (H, W, 3) uint8 RGB, in an order drawn at random.

    With a setting x, a factor is drawn between max(0, 1 - x) and 1 + x, and the hue's shift between -x and x of its
    circle. A change whose setting is 0 is left out, and nothing is drawn for it.
    """
    changes = [
        (settings.brightness, change_brightness),
        (settings.contrast, change_contrast),
        (settings.saturation, change_saturation),
        (settings.hue, shift_hue),
    ]
    changes = [(extent, change) for extent, change in changes if extent > 0]
    if not changes:
        return image
    picture = Image.fromarray(image)
    for index in rng.permutation(len(changes)):
        extent, change = changes[index]
        middle = 0 if change is shift_hue else 1
        lowest = -extent if change is shift_hue else max(0.0, middle - extent)
        picture = change(picture, float(rng.uniform(lowest, middle + extent)))
    return np.asarray(picture)


def change_brightness(picture: Image.Image, factor: float) -> Image.Image:
    """Mixes a picture with black: factor 0 gives black, 1 the picture."""
    return ImageEnhance.Brightness(picture).enhance(factor)


def change_contrast(picture: Image.Image, factor: float) -> Image.Image:
    """Mixes a picture with the rounded mean of its grey values: factor 0 gives that grey, 1 the picture."""
    return ImageEnhance.Contrast(picture).enhance(factor)


def change_saturation(picture: Image.Image, factor: float) -> Image.Image:
    """Mixes a picture with its grey values: factor 0 gives a grey picture, 1 the picture."""
    return ImageEnhance.Color(picture).enhance(factor)


def shift_hue(picture: Image.Image, shift: float) -> Image.Image:
    """Shifts a picture's hue by a share of its circle: a hue h, a byte, becomes (h + int(255 shift)) mod 256."""
    hue, *others = picture.convert("HSV").split()
    shifted = (np.asarray(hue, np.int64) + int(shift * 255)) % 256
    return Image.merge("HSV", (Image.fromarray(shifted.astype(np.uint8)), *others)).convert("RGB")
