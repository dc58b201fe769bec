"""Makes Mask R-CNN's samples: images of their own sizes, with objects for training, and alone for prediction."""

from dataclasses import dataclass, replace

import numpy as np
from pycocotools import mask as rle

from common.data.coco import CocoDataset, Objects, clip_boxes, has_area
from common.data.samples import ImageInference, require_same_class_count
from common.data.transforms import maybe
from common.errors import UserError
from common.families.mask_rcnn.colour_jitter import jitter_colours
from common.families.mask_rcnn.conventions import Convention
from common.families.mask_rcnn.expansion import maybe_expand
from common.families.mask_rcnn.losses import count_anchors
from common.families.mask_rcnn.outlines import Outline, pack_outlines
from common.families.mask_rcnn.resizing import Resizing, find_nearest, plan_resizing, resize, resized_size
from common.families.mask_rcnn.sampling import make_anchor_targets
from common.families.mask_rcnn.settings import MaskRcnnNetwork, MaskRcnnSettings
from common.training.drop_path import draw_branch_scales


@dataclass(frozen=True)
class _Objects:
    """An image's objects that are trained on: boxes (G, 4) xyxy float32, labels (G,) from 0, and their outlines."""

    boxes: np.ndarray
    labels: np.ndarray
    outlines: list[Outline]


class Training:
    """Makes training samples by index: an augmented image with its objects; `collate` joins them to a batch.

    positions: (K,), the images to train on by their positions in the data set, as a data check finds them; by default
    the images that have an object or, if the settings say so, all.
    """

    def __init__(self, dataset: CocoDataset, settings: MaskRcnnSettings, positions: np.ndarray | None = None) -> None:
        require_same_class_count(dataset, settings)
        self.dataset, self.settings = dataset, settings
        if positions is None:
            takes_all = settings.augmentation.empty_images
            wanted = np.arange(len(dataset)) if takes_all else dataset.positions_with_objects()
            positions = np.setdiff1d(wanted, dataset.missing_images())
        self.positions = positions
        if not len(positions):
            raise UserError(f"{dataset.annotations}: no image to train on")
        sizes = dataset.image_sizes()[positions]
        # Batches hold either wide or high images, since both together would be padded to a square; canvases are alike.
        is_high = sizes[:, 0] >= sizes[:, 1]
        self.groups = None if settings.rules.size_rule == "canvas" else is_high.astype(np.int8)

    def __len__(self) -> int:
        return len(self.positions)

    def __call__(self, index: int, rng: np.random.Generator) -> dict:
        """Reads, changes and resizes one image with its objects.

        Returns `image` (3, h, w), not padded, `image_id`, `boxes` (G, 4) xyxy, `labels` (G,), which count the network's
        outputs, `outlines`, and `seed`, which decides what is drawn for the sample in the training step.
        """
        settings, position = self.settings, int(self.positions[index])
        augmentation, preprocessing, rules = settings.augmentation, settings.preprocessing, settings.rules
        short_side = int(rng.choice(augmentation.short_sides)) if augmentation.short_sides else preprocessing.short_side
        flips = maybe(rng, augmentation.flip), maybe(rng, augmentation.vertical_flip)
        image = jitter_colours(self.dataset.image(position, settings.reads_upright), augmentation, rng)
        found = self.dataset.objects(position, image.shape[:2])
        image, found = maybe_expand(image, found, augmentation.expansion, rng)
        long_side = augmentation.long_side or preprocessing.long_side
        resizing = plan_resizing(image.shape[:2], short_side, long_side, rules)
        pixels = resize(image, resizing.size, preprocessing, rules)
        height, width = resizing.padded
        objects = _choose_objects(self.dataset, position, found, resizing, flips, rules)
        objects = _cut_to_image(_resize_objects(objects, resizing), resizing.size, rules)
        if flips[0]:
            pixels = np.ascontiguousarray(pixels[:, :, ::-1])
            objects = _mirror_left_to_right(objects, width, rules)
        if flips[1]:
            pixels = np.ascontiguousarray(pixels[:, ::-1])
            objects = _mirror_top_to_bottom(objects, height, rules)
        return {
            "image": pixels,
            "image_id": self.dataset.image_ids[position],
            "boxes": objects.boxes,
            "labels": objects.labels + np.int32(settings.first_label),
            "outlines": objects.outlines,
            "seed": np.int64(rng.integers(2**31)),
        }

    def collate(self, samples: list[dict]) -> dict[str, np.ndarray]:
        return collate(samples, self.settings)

    def describe(self, index: int) -> str:
        return f"image {self.dataset.image_ids[self.positions[index]]}"


def collate(samples: list[dict], settings: MaskRcnnSettings) -> dict[str, np.ndarray]:
    """The batch that `compute_losses` takes: images padded to one size, what their anchors train on, and objects.

    An array whose name begins with host. stays with the processor: regions are sampled, and their masks made, in the
    training step.
    """
    image, sizes = _pad([sample["image"] for sample in samples], settings.preprocessing.pad_multiple)
    anchor_targets = [
        make_anchor_targets(sample["boxes"], tuple(size), image.shape[2:], settings, int(sample["seed"]))
        for sample, size in zip(samples, sizes.tolist(), strict=True)
    ]
    anchors = {name: np.stack([each[name] for each in anchor_targets]) for name in anchor_targets[0]}
    return {
        "image": image,
        "image_id": np.stack([sample["image_id"] for sample in samples]),
        **anchors,
        "host.anchors": np.array(count_anchors(anchors["anchor_labels"], len(samples), settings)),
        "host.image_size": sizes,
        "host.boxes": np.concatenate([sample["boxes"] for sample in samples]),
        "host.labels": np.concatenate([sample["labels"] for sample in samples]),
        "host.counts": np.array([len(sample["boxes"]) for sample in samples], np.int32),
        "host.seed": np.stack([sample["seed"] for sample in samples]),
        **pack_outlines([outline for sample in samples for outline in sample["outlines"]]),
        **_draw_branches(samples, settings.network),
    }


def _draw_branches(samples: list[dict], network: MaskRcnnNetwork) -> dict[str, np.ndarray]:
    """The `branch_scales` (N, 2 * blocks) of a batch's images, where the backbone leaves branches out in training."""
    if not network.drop_path:
        return {}
    seeds = [sample["seed"] for sample in samples]
    return {"branch_scales": draw_branch_scales(seeds, network.drop_path, network.backbone.blocks)}


def prepare(image: np.ndarray, settings: MaskRcnnSettings) -> dict[str, np.ndarray]:
    """Makes the sample for prediction of an image (H, W, 3) uint8 RGB.

    It holds `image` (3, h, w) float32, not padded, and `original_size` (2,), the height and width.
    """
    preprocessing, original = settings.preprocessing, image.shape[:2]
    size = resized_size(original, preprocessing.short_side, preprocessing.long_side, settings.rules)
    return {
        "image": resize(image, size, preprocessing, settings.rules),
        "original_size": np.array(original, np.int32),
    }


def join(samples: list[dict[str, np.ndarray]], settings: MaskRcnnSettings) -> dict[str, np.ndarray]:
    """Samples for prediction -> a batch: images padded to one size, and `image_size` (N, 2) without the padding."""
    image, sizes = _pad([sample["image"] for sample in samples], settings.preprocessing.pad_multiple)
    others = {name: np.stack([sample[name] for sample in samples]) for name in samples[0] if name != "image"}
    return {"image": image, "image_size": sizes} | others


def _pad(images: list[np.ndarray], multiple: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (3, h, w) -> (N, 3, H, W), zeros to the right and below, and their sizes (N, 2) int32.

    Returns the images (N, 3, H, W), whose sides are multiples of `multiple`, and their sizes without the padding
    (N, 2) int32.
    """
    sizes = np.array([image.shape[1:] for image in images], np.int32)
    height, width = -(-sizes.max(axis=0) // multiple) * multiple
    padded = np.zeros((len(images), 3, height, width), np.float32)
    for image, canvas in zip(images, padded, strict=True):
        canvas[:, : image.shape[1], : image.shape[2]] = image
    return padded, sizes


def _choose_objects(
    dataset: CocoDataset,
    position: int,
    found: Objects,
    resizing: Resizing,
    flips: tuple[bool, bool],
    rules: Convention,
) -> _Objects:
    """Of the objects that were found in an image those that are no crowds and have a mask and a box.

    Boxes and polygons are in pixels of the original, bitmaps already resized. flips: whether all of it is going to be
    mirrored left to right, and top to bottom.
    """
    boxes = _cut_boxes(found, resizing.original, rules)
    has_mask = np.array([packed is not None for packed in found.rles], bool)
    if rules.drops_empty_bitmaps == "before resizing":
        has_mask &= np.array([bool(packed and rle.area(packed)) for packed in found.rles], bool)
    # A box that lost its fractions may have no area left, and is a pixel by the originals' count.
    sound = has_mask & ~found.crowd & (has_area(boxes) | rules.whole_boxes)
    kept, outlines = [], []
    for row in np.flatnonzero(sound).tolist():
        polygons = dataset.polygons(position, row) if rules.mask_source == "polygons" else ()
        outline = Outline(polygons) if polygons else _resize_bitmap(found.rles[row], resizing, flips, rules)
        # No original asks which pixels polygons cover.
        is_empty = outline.bitmap is not None and not outline.bitmap.any()
        if is_empty and rules.drops_empty_bitmaps == "after resizing":
            continue
        kept.append(row)
        outlines.append(outline)
    return _Objects(boxes[kept], found.labels[kept], outlines)


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


def _resize_objects(objects: _Objects, resizing: Resizing) -> _Objects:
    """Boxes and polygons in pixels of the original -> in pixels of the resized image."""
    ratio = np.array(resizing.ratios)
    outlines = [
        replace(outline, polygons=tuple((np.reshape(each, (-1, 2)) * ratio).reshape(-1) for each in outline.polygons))
        for outline in objects.outlines
    ]
    return replace(objects, boxes=(objects.boxes * np.tile(ratio, 2)).astype(np.float32), outlines=outlines)


def _cut_to_image(objects: _Objects, size: tuple[int, int], rules: Convention) -> _Objects:
    """The objects whose resized boxes, cut to the image again, are large enough, where the convention asks for it.

    Whole boxes are cut to the image's last pixels here, whatever is left of them.
    """
    if rules.whole_boxes:
        return replace(objects, boxes=clip_boxes(objects.boxes, (size[0] - rules.offset, size[1] - rules.offset)))
    if rules.smallest_object_side is None:
        return objects
    boxes = clip_boxes(objects.boxes, size)
    large = (boxes[:, 2:] - boxes[:, :2] > rules.smallest_object_side).all(axis=1)
    return _Objects(boxes[large], objects.labels[large], [objects.outlines[row] for row in np.flatnonzero(large)])


def _mirror_left_to_right(objects: _Objects, width: int, rules: Convention) -> _Objects:
    """Moves each x of boxes and outlines to width - offset - x."""
    end = width - rules.offset
    x1, y1, x2, y2 = objects.boxes.T
    outlines = [_mirror_outline(outline, 0, width, end) for outline in objects.outlines]
    return replace(objects, boxes=np.stack([end - x2, y1, end - x1, y2], axis=1), outlines=outlines)


def _mirror_top_to_bottom(objects: _Objects, height: int, rules: Convention) -> _Objects:
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


class Inference(ImageInference):
    """Makes samples for prediction by an image's position in a data set: those of `prepare`, and `image_id`."""

    prepare = staticmethod(prepare)
    join = staticmethod(join)
