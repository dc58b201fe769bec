"""Simple copy-paste (Ghiasi et al., 2021): objects of another image are pasted on an image of the same size."""

from dataclasses import replace

import numpy as np

from common.families.mask_rcnn.objects import TrainedObjects
from common.families.mask_rcnn.outlines import Outline
from common.families.mask_rcnn.views import View, measure_boxes, select

# An object that others are pasted on stays if no side of its box has moved farther than this many pixels, or if more
# than this many of its own are left: mmdetection's CopyPaste, bbox_occluded_thr and mask_occluded_thr.
_FARTHEST_SIDE = 10
_HIDDEN_AREA = 300


def copy_paste(view: View, source: View, rng: np.random.Generator) -> View:
    """Pastes a random number of the source's objects, drawn without an order, on a view of the same size."""
    count = len(source.objects.labels)
    selected = np.zeros(count, bool)
    selected[rng.choice(count, int(rng.integers(count + 1)), replace=False)] = True
    return paste(view, View(source.image, select(source.objects, selected)))


def paste(view: View, source: View) -> View:
    """A view with all of the source's objects in front of its own, which come first and lose the covered pixels.

    Their boxes are made anew from what is left of their bitmaps, and those that are nearly hidden go. Without an object
    to paste all is as it was.
    """
    if not len(source.objects.labels):
        return view
    cover = np.zeros(view.image.shape[:2], bool)
    for outline in source.objects.outlines:
        cover[_window(outline)] |= outline.bitmap.astype(bool)
    outlines = [replace(outline, bitmap=outline.bitmap * ~cover[_window(outline)]) for outline in view.objects.outlines]
    boxes = measure_boxes(outlines)
    areas = np.array([np.count_nonzero(outline.bitmap) for outline in outlines], np.int64)
    has_its_box = (np.abs(boxes - view.objects.boxes) <= _FARTHEST_SIDE).all(axis=1)
    seen = (areas > 0) & (has_its_box | (areas > _HIDDEN_AREA))
    below, above = select(replace(view.objects, boxes=boxes, outlines=outlines), seen), source.objects
    objects = TrainedObjects(
        np.concatenate([below.boxes, above.boxes]),
        np.concatenate([below.labels, above.labels]),
        below.outlines + above.outlines,
    )
    return View(np.where(cover[:, :, None], source.image, view.image), objects)


def _window(outline: Outline) -> tuple[slice, slice]:
    """Where an outline's window lies in its image, as an index of rows and columns."""
    (x, y), (height, width) = outline.corner, outline.bitmap.shape
    return slice(y, y + height), slice(x, x + width)
