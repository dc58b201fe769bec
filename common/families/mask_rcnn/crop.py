"""Swin's augmentation, which is DETR's: part of the images are cut out of before they are resized for the network."""

import numpy as np

from common.data.transforms import maybe
from common.families.mask_rcnn.conventions import Convention
from common.families.mask_rcnn.resizing import resized_size
from common.families.mask_rcnn.settings import RcnnCrop
from common.families.mask_rcnn.views import Rectangle, View, cut_out, resize


def maybe_crop(
    view: View, settings: RcnnCrop | None, long_side: int, rules: Convention, rng: np.random.Generator
) -> View:
    """A view resized to one of the crop's short sides and cut, with the settings' probability, else as it is."""
    if settings is None or not maybe(rng, settings.probability):
        return view
    short_side = int(rng.choice(settings.short_sides))
    view = resize(view, resized_size(view.image.shape[:2], short_side, long_side, rules), rules)
    return cut_out(view, draw_rectangle(view.image.shape[:2], settings.sides, rng))


def draw_rectangle(size: tuple[int, int], sides: tuple[int, int], rng: np.random.Generator) -> Rectangle:
    """Draws a rectangle in an image of `size` (H, W): its height, its width, and how far down and right it lies.

    Each of its sides is a whole number between the two of `sides`; a side of the image that is shorter is taken whole.
    """
    height, width = (int(rng.integers(min(side, sides[0]), min(side, sides[1]) + 1)) for side in size)
    top, left = int(rng.integers(0, size[0] - height + 1)), int(rng.integers(0, size[1] - width + 1))
    return left, top, left + width, top + height
