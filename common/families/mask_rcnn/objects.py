"""The objects of an image on their way into a training sample: chosen, resized, cut and mirrored with it."""

from dataclasses import dataclass, replace

import numpy as np
from pycocotools import mask as rle

from common.data.coco import CocoDataset, Objects, clip_boxes, has_area
from common.families.mask_rcnn.conventions import Convention
from common.families.mask_rcnn.outlines import Outline
from common.families.mask_rcnn.resizing import Resizing, find_nearest


@dataclass(frozen=True)
class TrainedObjects:
    """An image's objects that are trained on: boxes (G, 4) xyxy float32, labels (G,) from 0, and their outlines."""

    boxes: np.ndarray
    labels: np.ndarray
    outlines: list[Outline]


def choose_objects(
    dataset: CocoDataset,
    position: int,
    found: Objects,
    resizing: Resizing,
    flips: tuple[bool, bool],
    rules: Convention,
) -> TrainedObjects:
    """Of the objects that were found in an image those that are no crowds and have a mask and a box.

    Boxes and polygons are in pixels of the original, bitmaps already resized. flips: whether all of it is going to be
    mirrored left to right, and top to bottom.
    """
    boxes = _cut_boxes(found, resizing.original, rules)
    kept, outlines = [], []
    for row in np.flatnonzero(find_sound(found, boxes, rules)).tolist():
        polygons = dataset.polygons(position, row) if rules.mask_source == "polygons" else ()
        outline = Outline(polygons) if polygons else _resize_bitmap(found.rles[row], resizing, flips, rules)
        # No original asks which pixels polygons cover.
        is_empty = outline.bitmap is not None and not outline.bitmap.any()
        if is_empty and rules.drops_empty_bitmaps == "after resizing":
            continue
        kept.append(row)
        outlines.append(outline)
    return TrainedObjects(boxes[kept], found.labels[kept], outlines)


def find_sound(found: Objects, boxes: np.ndarray, rules: Convention) -> np.ndarray:
    """Which of an image's M annotations are trained on, (M,) bool; boxes: theirs (M, 4) xyxy, cut to the image."""
    has_mask = np.array([packed is not None for packed in found.rles], bool)
    if rules.drops_empty_bitmaps == "before resizing":
        has_mask &= np.array([bool(packed and rle.area(packed)) for packed in found.rles], bool)
    # A box that lost its fractions may have no area left, and is a pixel by the originals' count.
    sound = has_mask & ~found.crowd & (has_area(boxes) | rules.whole_boxes)
    if rules.drops_ignored:
        sound &= ~found.ignored
    if rules.smallest_annotated_side is not None:
        sound &= (found.boxes_in_file[:, 2:] >= rules.smallest_annotated_side).all(axis=1)
    return sound


def _cut_boxes(objects: Objects, size: tuple[int, int], rules: Convention) -> np.ndarray:
    """The objects' boxes (M, 4) xyxy cut to the image; with an offset the last pixel is where a side ends.

    Whole boxes are the file's corners without their fractions, and are cut when they are resized.
    """
    if rules.whole_boxes:
        boxes = objects.boxes_in_file.copy()
        boxes[:, 2:] += boxes[:, :2]
        return np.trunc(boxes).astype(np.float32)
    if rules.offset == 0:
        return clip_boxes(objects.boxes, size)
    sides = np.maximum(objects.boxes[:, 2:] - objects.boxes[:, :2] - rules.offset, 0)
    boxes = np.concatenate([objects.boxes[:, :2], objects.boxes[:, :2] + sides], axis=1)
    return clip_boxes(boxes, (size[0] - rules.offset, size[1] - rules.offset))


def _resize_bitmap(packed: dict, resizing: Resizing, flips: tuple[bool, bool], rules: Convention) -> Outline:
    """A mask as an RLE -> its window, resized by the nearest pixel; flips: how it will be mirrored with the image."""
    (height, width), size = packed["size"], resizing.bitmap_size
    rows, columns = find_nearest(height, size[0], rules), find_nearest(width, size[1], rules)
    if rules.mirrors == "before resizing":  # the nearest pixel need not lie symmetrically
        columns = width - 1 - columns[::-1] if flips[0] else columns
        rows = height - 1 - rows[::-1] if flips[1] else rows
    left, top, wide, high = rle.toBbox(packed)
    x, y = (
        _find_span(shown, start, start + length) for shown, start, length in ((columns, left, wide), (rows, top, high))
    )
    # Where the image stands on a canvas, what lies behind its last pixel is 0, too.
    sides = zip((y, x), size, resizing.padded, strict=True)
    edge = [(0, int(end > length == span[-1] + 1)) for span, length, end in sides]
    bitmap = np.pad(rle.decode(packed)[rows[y, None], columns[x]], edge)
    return Outline(bitmap=bitmap, corner=(int(x[0]), int(y[0])))


def _find_span(shown: np.ndarray, start: float, end: float) -> np.ndarray:
    """The resized pixels that show the pixels from `start` to before `end`, and one more on each side if there is one.

    shown: for each resized pixel the one that it shows, ascending.
    """
    first, last = np.searchsorted(shown, (start, end))
    return np.arange(max(first - 1, 0), min(last + 1, len(shown)))


def resize_objects(objects: TrainedObjects, resizing: Resizing) -> TrainedObjects:
    """Boxes and polygons in pixels of the original -> in pixels of the resized image."""
    ratio = np.array(resizing.ratios)
    outlines = [
        replace(outline, polygons=tuple((np.reshape(each, (-1, 2)) * ratio).reshape(-1) for each in outline.polygons))
        for outline in objects.outlines
    ]
    return replace(objects, boxes=(objects.boxes * np.tile(ratio, 2)).astype(np.float32), outlines=outlines)


def cut_to_image(objects: TrainedObjects, size: tuple[int, int], rules: Convention) -> TrainedObjects:
    """The objects whose resized boxes, cut to the image again, are large enough, where the convention asks for it.

    Whole boxes are cut to the image's last pixels here, whatever is left of them.
    """
    if rules.whole_boxes:
        return replace(objects, boxes=clip_boxes(objects.boxes, (size[0] - rules.offset, size[1] - rules.offset)))
    if rules.smallest_object_side is None:
        return objects
    boxes = clip_boxes(objects.boxes, size)
    large = (boxes[:, 2:] - boxes[:, :2] > rules.smallest_object_side).all(axis=1)
    return TrainedObjects(boxes[large], objects.labels[large], [objects.outlines[row] for row in np.flatnonzero(large)])


def mirror_left_to_right(objects: TrainedObjects, width: int, rules: Convention) -> TrainedObjects:
    """Moves each x of boxes and outlines to width - offset - x."""
    end = width - rules.offset
    x1, y1, x2, y2 = objects.boxes.T
    outlines = [_mirror_outline(outline, 0, width, end) for outline in objects.outlines]
    return replace(objects, boxes=np.stack([end - x2, y1, end - x1, y2], axis=1), outlines=outlines)


def mirror_top_to_bottom(objects: TrainedObjects, height: int, rules: Convention) -> TrainedObjects:
    """Moves each y of outlines to height - offset - y, and of boxes to height - y, as maskrcnn-benchmark does."""
    x1, y1, x2, y2 = objects.boxes.T
    outlines = [_mirror_outline(outline, 1, height, height - rules.offset) for outline in objects.outlines]
    return replace(objects, boxes=np.stack([x1, height - y2, x2, height - y1], axis=1), outlines=outlines)


def _mirror_outline(outline: Outline, axis: int, side: int, end: float) -> Outline:
    """An outline mirrored along x (axis 0) or y (axis 1).

    A polygon is measured back from `end`, and a bitmap from the end of the image's `side` pixels.
    """
    if outline.bitmap is None:
        return Outline(tuple(_mirror_polygon(polygon, axis, end) for polygon in outline.polygons))
    corner = list(outline.corner)
    corner[axis] = side - corner[axis] - outline.bitmap.shape[1 - axis]
    return Outline(bitmap=np.ascontiguousarray(np.flip(outline.bitmap, 1 - axis)), corner=tuple(corner))


def _mirror_polygon(polygon: np.ndarray, axis: int, end: float) -> np.ndarray:
    """x, y, x, y, ... with each x (axis 0) or y (axis 1) measured back from `end`."""
    mirrored = polygon.copy()
    mirrored[axis::2] = end - polygon[axis::2]
    return mirrored
