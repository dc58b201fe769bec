"""An image on its way into a training sample, changed step by step: bytes with boxes and bitmaps that follow them.

A step returns a new view and leaves the given one as it is.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from pycocotools import mask as rle

from common.data.coco import Objects, clip_boxes, has_area
from common.families.mask_rcnn.conventions import Convention
from common.families.mask_rcnn.objects import (
    TrainedObjects,
    find_sound,
    mirror_left_to_right,
    mirror_top_to_bottom,
)
from common.families.mask_rcnn.outlines import Outline
from common.families.mask_rcnn.resizing import find_nearest

# Left, top, right and bottom in whole pixels.
Rectangle = tuple[int, int, int, int]


@dataclass(frozen=True)
class View:
    """An image (H, W, 3) uint8 RGB with its objects.

    An outline is the smallest window of a bitmap with all of its pixels, or any larger one; `frame` gives windows the
    edge that the samples' have.
    """

    image: np.ndarray
    objects: TrainedObjects


def make_view(image: np.ndarray, found: Objects, rules: Convention) -> View:
    """The view of an image (H, W, 3) uint8 RGB with those of its annotations that are trained on.

    Boxes are the file's, and may reach out of the image.
    """
    boxes = found.boxes_in_file.copy()
    boxes[:, 2:] += boxes[:, :2]
    rows = np.flatnonzero(find_sound(found, clip_boxes(boxes, image.shape[:2]), rules))
    outlines = [_decode(found.rles[row]) for row in rows.tolist()]
    return View(image, TrainedObjects(boxes[rows].astype(np.float32), found.labels[rows], outlines))


def mirror(view: View, flips: tuple[bool, bool], rules: Convention) -> View:
    """Mirrors a view left to right, and top to bottom, where `flips` says so."""
    image, objects = view.image, view.objects
    if flips[0]:
        image, objects = image[:, ::-1], mirror_left_to_right(objects, image.shape[1], rules)
    if flips[1]:
        image, objects = image[::-1], mirror_top_to_bottom(objects, image.shape[0], rules)
    return View(np.ascontiguousarray(image), objects)


def resize(view: View, size: tuple[int, int], rules: Convention) -> View:
    """Resizes a view to `size` (H, W): the image bilinear on bytes, bitmaps by the nearest pixel; boxes are cut to it.

    All objects stay, also those whose box is outside.
    """
    height, width = view.image.shape[:2]
    ratios = np.array([size[1] / width, size[0] / height], np.float32)
    rows, columns = find_nearest(height, size[0], rules), find_nearest(width, size[1], rules)
    objects = replace(
        view.objects,
        boxes=clip_boxes(view.objects.boxes * np.tile(ratios, 2), size),
        outlines=[_show(outline, rows, columns) for outline in view.objects.outlines],
    )
    return View(cv2.resize(view.image, size[::-1], interpolation=cv2.INTER_LINEAR), objects)


def cut_out(view: View, rectangle: Rectangle) -> View:
    """Cuts a rectangle out of a view; those objects stay whose box, cut to it, has an area, whatever their bitmap has.

    Boxes are cut, and not made anew from bitmaps.
    """
    left, top, right, bottom = rectangle
    boxes = view.objects.boxes - np.array([left, top, left, top], np.float32)
    boxes = clip_boxes(boxes, (bottom - top, right - left))
    objects = select(replace(view.objects, boxes=boxes), has_area(boxes))
    rows, columns = np.arange(top, bottom), np.arange(left, right)
    outlines = [_show(outline, rows, columns) for outline in objects.outlines]
    return View(np.ascontiguousarray(view.image[top:bottom, left:right]), replace(objects, outlines=outlines))


def select(objects: TrainedObjects, selected: np.ndarray) -> TrainedObjects:
    """The objects alone for which `selected` (G,) bool is true."""
    outlines = [objects.outlines[row] for row in np.flatnonzero(selected)]
    return TrainedObjects(objects.boxes[selected], objects.labels[selected], outlines)


def measure_boxes(outlines: list[Outline]) -> np.ndarray:
    """The boxes (G, 4) xyxy float32 of bitmaps' pixels; zeros where a bitmap has none."""
    boxes = np.zeros((len(outlines), 4), np.float32)
    for box, outline in zip(boxes, outlines, strict=True):
        rows, columns = (np.flatnonzero(outline.bitmap.any(axis)) for axis in (1, 0))
        if len(rows):
            box[:] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
            box += np.tile(np.array(outline.corner, np.float32), 2)
    return boxes


def frame(view: View) -> View:
    """The view with outlines as a sample has them: a bitmap's smallest window, and zeros about it inside the image.

    A bitmap without a pixel has a window of one zero.
    """
    boxes = measure_boxes(view.objects.outlines).astype(int).tolist()
    height, width = view.image.shape[:2]
    outlines = []
    for outline, (x1, y1, x2, y2) in zip(view.objects.outlines, boxes, strict=True):
        x, y = outline.corner
        pixels = outline.bitmap[y1 - y : y2 - y, x1 - x : x2 - x] if x1 < x2 else np.zeros((1, 1), np.uint8)
        before, after = (int(y1 > 0), int(x1 > 0)), (int(y2 < height), int(x2 < width))
        if x1 < x2:
            pixels = np.pad(pixels, list(zip(before, after, strict=True)))
        outlines.append(Outline(bitmap=pixels, corner=(x1 - before[1], y1 - before[0])))
    return replace(view, objects=replace(view.objects, outlines=outlines))


def _decode(packed: dict) -> Outline:
    """A mask as an RLE -> its window."""
    left, top, width, height = map(int, rle.toBbox(packed))
    bitmap = rle.decode(packed)[top : top + height, left : left + width]
    return Outline(bitmap=np.ascontiguousarray(bitmap), corner=(left, top))


def _show(outline: Outline, rows: np.ndarray, columns: np.ndarray) -> Outline:
    """The window in an image whose pixel (y, x) shows this one's pixel (rows[y], columns[x]); both ascend."""
    spans, starts = [], outline.corner[::-1]
    for shown, start, length in zip((rows, columns), starts, outline.bitmap.shape, strict=True):
        spans.append(np.arange(*np.searchsorted(shown, (start, start + length))))
    if not all(map(len, spans)):
        return Outline(bitmap=np.zeros((0, 0), np.uint8))
    y, x = spans
    bitmap = outline.bitmap[(rows[y] - starts[0])[:, None], columns[x] - starts[1]]
    return Outline(bitmap=bitmap, corner=(int(x[0]), int(y[0])))
