"""Large-scale jitter (Ghiasi et al., 2021): a square with a part of an enlarged image, or all of a reduced one."""

from dataclasses import replace

import numpy as np

from common.config import FreeSizePreprocessing
from common.families.mask_rcnn.conventions import Convention
from common.families.mask_rcnn.resizing import resized_size
from common.families.mask_rcnn.settings import RcnnJitter
from common.families.mask_rcnn.views import View, cut_out, measure_boxes, resize, select


def jitter(
    view: View, settings: RcnnJitter, preprocessing: FreeSizePreprocessing, rules: Convention, rng: np.random.Generator
) -> View:
    """A view whose long side becomes a random multiple of the square's, cut to the square or filled up to it.

    Boxes are those of what is left of the bitmaps, and objects without a pixel go.
    """
    long_side = max(1, int(settings.size * rng.uniform(settings.smallest, settings.largest)))
    view = resize(view, resized_size(view.image.shape[:2], long_side, long_side, rules), rules)
    height, width = (min(side, settings.size) for side in view.image.shape[:2])
    top, left = (
        int(rng.integers(whole - part + 1)) for whole, part in zip(view.image.shape[:2], (height, width), strict=True)
    )
    view = cut_out(view, (left, top, left + width, top + height))
    objects = replace(view.objects, boxes=measure_boxes(view.objects.outlines))
    objects = select(objects, np.array([outline.bitmap.any() for outline in objects.outlines], bool))
    return View(_fill_up(view.image, settings.size, preprocessing), objects)


def _fill_up(image: np.ndarray, side: int, preprocessing: FreeSizePreprocessing) -> np.ndarray:
    """An image (h, w, 3) in the upper left corner of a square (side, side, 3) of the grey that pixels are counted from.

    So the rest is next to 0 once it is normalised, as the padding of batches is.
    """
    mean = preprocessing.mean if preprocessing.channel_order == "rgb" else preprocessing.mean[::-1]
    square = np.empty((side, side, 3), np.uint8)
    square[:] = np.round(mean)
    square[: image.shape[0], : image.shape[1]] = image
    return square
