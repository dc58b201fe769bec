"""Mask R-CNN's samples: an image of its own size with its objects for training, and an image for prediction."""

from dataclasses import dataclass, replace

import numpy as np
from pycocotools import mask as rle

from common.boxes import Convention
from common.data.coco import CocoDataset, Objects, clipped, has_area
from common.data.samples import ImageInference, check_classes
from common.data.transforms import maybe
from common.errors import UserError
from common.families.mask_rcnn.colour_jitter import jitter_colours
from common.families.mask_rcnn.outlines import Outline, pack_outlines
from common.families.mask_rcnn.resizing import nearest, resize, resized_size
from common.families.mask_rcnn.sampling import make_anchor_targets
from common.families.mask_rcnn.settings import MaskRcnnSettings

_SMALLEST_SIDE = 1e-5  # of a resized box in detectron2


@dataclass(frozen=True)
class _Objects:
    """Those of an image that are trained on: boxes (G, 4) xyxy float32, labels (G,) from 0, and their forms."""

    boxes: np.ndarray
    labels: np.ndarray
    forms: list[Outline]


class Training:
    """Makes the training sample of an index: an image with its objects; `collate` makes a batch of them.

    Indices count the images that have an object or, as the settings want it, all; `positions` (K,), from a data check
    for instance, leaves out more.
    """

    def __init__(self, dataset: CocoDataset, settings: MaskRcnnSettings, positions: np.ndarray | None = None) -> None:
        check_classes(dataset, settings)
        self.dataset, self.settings = dataset, settings
        if positions is None:
            takes_all = settings.augmentation.empty_images
            wanted = np.arange(len(dataset)) if takes_all else dataset.positions_with_objects()
            positions = np.setdiff1d(wanted, dataset.missing_images())
        self.positions = positions
        if not len(positions):
            raise UserError(f"{dataset.annotations}: no image to train on")
        sizes = dataset.image_sizes()[positions]
        # A batch of lying and standing images would be padded to a square.
        self.groups = (sizes[:, 0] >= sizes[:, 1]).astype(np.int8)

    def __len__(self) -> int:
        return len(self.positions)

    def __call__(self, index: int, rng: np.random.Generator) -> dict:
        """image (3, h, w), not padded; boxes (G, 4), columns (G,), forms; seed, of what is drawn for the sample."""
        settings, position = self.settings, int(self.positions[index])
        chosen, preprocessing = settings.augmentation, settings.preprocessing
        short_side = int(rng.choice(chosen.short_sides)) if chosen.short_sides else preprocessing.short_side
        flip, vertical_flip = maybe(rng, chosen.flip), maybe(rng, chosen.vertical_flip)
        image = jitter_colours(self.dataset.image(position, settings.reads_upright), chosen, rng)
        original = image.shape[:2]
        long_side = chosen.long_side or preprocessing.long_side
        size = resized_size(original, short_side, long_side, settings.convention)
        pixels = resize(image, size, preprocessing, settings.convention)
        flips = (flip, vertical_flip)
        objects = _resized(_objects(self.dataset, position, original, size, flips, settings.convention), original, size)
        objects = _kept(objects, size, settings.convention)
        if flip:
            pixels = np.ascontiguousarray(pixels[:, :, ::-1])
            objects = _flipped(objects, size[1], settings.convention)
        if vertical_flip:
            pixels = np.ascontiguousarray(pixels[:, ::-1])
            objects = _turned_over(objects, size[0], settings.convention)
        first = 1 if settings.network.background == "first" else 0
        return {
            "image": pixels,
            "image_id": self.dataset.image_ids[position],
            "boxes": objects.boxes,
            "columns": objects.labels + np.int32(first),
            "forms": objects.forms,
            "seed": np.int64(rng.integers(2**31)),
        }

    def collate(self, samples: list[dict]) -> dict[str, np.ndarray]:
        return collate(samples, self.settings)

    def describe(self, index: int) -> str:
        return f"image {self.dataset.image_ids[self.positions[index]]}"


def collate(samples: list[dict], settings: MaskRcnnSettings) -> dict[str, np.ndarray]:
    """The batch that `network.losses` takes: images padded to one size, what their anchors train on, and objects.

    What is named host. stays with the processor: regions are chosen, and their masks made, in the training step.
    """
    image, sizes = _padded([sample["image"] for sample in samples], settings.preprocessing.pad_multiple)
    of_anchors = [
        make_anchor_targets(sample["boxes"], tuple(size), image.shape[2:], settings, int(sample["seed"]))
        for sample, size in zip(samples, sizes.tolist(), strict=True)
    ]
    return {
        "image": image,
        "image_id": np.stack([sample["image_id"] for sample in samples]),
        **{name: np.stack([each[name] for each in of_anchors]) for name in of_anchors[0]},
        "normaliser.ranks": np.ones(1, np.float32),
        "host.image_size": sizes,
        "host.boxes": np.concatenate([sample["boxes"] for sample in samples]),
        "host.columns": np.concatenate([sample["columns"] for sample in samples]),
        "host.counts": np.array([len(sample["boxes"]) for sample in samples], np.int32),
        "host.seed": np.stack([sample["seed"] for sample in samples]),
        **pack_outlines([form for sample in samples for form in sample["forms"]]),
    }


def prepare(image: np.ndarray, settings: MaskRcnnSettings) -> dict[str, np.ndarray]:
    """(H, W, 3) uint8 RGB -> `image` (3, h, w) float32, not padded, and `original_size` (H, W)."""
    preprocessing, original = settings.preprocessing, image.shape[:2]
    size = resized_size(original, preprocessing.short_side, preprocessing.long_side, settings.convention)
    return {
        "image": resize(image, size, preprocessing, settings.convention),
        "original_size": np.array(original, np.int32),
    }


def join(samples: list[dict[str, np.ndarray]], settings: MaskRcnnSettings) -> dict[str, np.ndarray]:
    """Samples for prediction -> a batch: images padded to one size, and `image_size` (N, 2) without the padding."""
    image, sizes = _padded([sample["image"] for sample in samples], settings.preprocessing.pad_multiple)
    others = {name: np.stack([sample[name] for sample in samples]) for name in samples[0] if name != "image"}
    return {"image": image, "image_size": sizes} | others


def _padded(images: list[np.ndarray], multiple: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (3, h, w) -> (N, 3, H, W), zeros to the right and below, and their sizes (N, 2) int32.

    A zero is the mean colour. The sides are the largest of each, raised to a multiple.
    """
    sizes = np.array([image.shape[1:] for image in images], np.int32)
    height, width = -(-sizes.max(axis=0) // multiple) * multiple
    padded = np.zeros((len(images), 3, height, width), np.float32)
    for image, place in zip(images, padded, strict=True):
        place[:, : image.shape[1], : image.shape[2]] = image
    return padded, sizes


def _objects(
    dataset: CocoDataset,
    position: int,
    original: tuple[int, int],
    size: tuple[int, int],
    flips: tuple[bool, bool],
    family: Convention,
) -> _Objects:
    """Boxes and polygons in pixels of the original, bitmaps already resized; crowds and what has no mask are left out.

    torchvision's mask targets come from bitmaps, the others' from polygons where an object has them. flips: whether
    all of it is going to be mirrored left to right, and top to bottom.
    """
    found = dataset.objects(position, original)
    boxes = _boxes(found, original, family)
    sound = has_area(boxes) & ~found.crowd & np.array([packed is not None for packed in found.rles], bool)
    kept, forms = [], []
    for row in np.flatnonzero(sound).tolist():
        polygons = () if family == "torchvision" else dataset.polygons(position, row)
        form = Outline(polygons) if polygons else _window(found.rles[row], size, flips, family)
        # detectron2 alone drops a bitmap without a pixel; of polygons no original asks what they cover.
        if family != "detectron2" or form.bitmap is None or form.bitmap.any():
            kept.append(row)
            forms.append(form)
    return _Objects(boxes[kept], found.labels[kept], forms)


def _boxes(objects: Objects, size: tuple[int, int], family: Convention) -> np.ndarray:
    """(M, 4) xyxy, cut to the image; in maskrcnn-benchmark the right and lower sides are those of the last pixels."""
    if family != "maskrcnn_benchmark":
        return clipped(objects.boxes, size)
    sides = np.maximum(objects.boxes[:, 2:] - objects.boxes[:, :2] - 1, 0)
    boxes = np.concatenate([objects.boxes[:, :2], objects.boxes[:, :2] + sides], axis=1)
    return clipped(boxes, (size[0] - 1, size[1] - 1))


def _window(packed: dict, size: tuple[int, int], flips: tuple[bool, bool], family: Convention) -> Outline:
    """A mask, resized to `size` by the nearest pixel, where it is not empty; `flips`: how it will then be mirrored."""
    height, width = packed["size"]
    rows, columns = nearest(height, size[0], family), nearest(width, size[1], family)
    if family == "torchvision":  # mirrors before it resizes, and its nearest pixel lies to the left and above
        columns = width - 1 - columns[::-1] if flips[0] else columns
        rows = height - 1 - rows[::-1] if flips[1] else rows
    left, top, wide, high = rle.toBbox(packed)
    x, y = (
        _span(places, start, start + length) for places, start, length in ((columns, left, wide), (rows, top, high))
    )
    return Outline(bitmap=rle.decode(packed)[rows[y, None], columns[x]], corner=(int(x[0]), int(y[0])))


def _span(places: np.ndarray, start: float, end: float) -> np.ndarray:
    """The resized pixels that show pixels start <= place < end, and one more on each side where there is one."""
    first, last = np.searchsorted(places, (start, end))
    return np.arange(max(first - 1, 0), min(last + 1, len(places)))


def _resized(objects: _Objects, original: tuple[int, int], size: tuple[int, int]) -> _Objects:
    ratio = np.array([size[1] / original[1], size[0] / original[0]])
    forms = [
        replace(form, polygons=tuple((np.reshape(each, (-1, 2)) * ratio).reshape(-1) for each in form.polygons))
        for form in objects.forms
    ]
    return replace(objects, boxes=(objects.boxes * np.tile(ratio, 2)).astype(np.float32), forms=forms)


def _kept(objects: _Objects, size: tuple[int, int], family: Convention) -> _Objects:
    """detectron2 cuts resized boxes to the image again, and drops what is then too small."""
    if family != "detectron2":
        return objects
    boxes = clipped(objects.boxes, size)
    large = (boxes[:, 2:] - boxes[:, :2] > _SMALLEST_SIDE).all(axis=1)
    return _Objects(boxes[large], objects.labels[large], [objects.forms[row] for row in np.flatnonzero(large)])


def _flipped(objects: _Objects, width: int, family: Convention) -> _Objects:
    """Mirrored left to right: x becomes W - x, and in maskrcnn-benchmark W - 1 - x, of polygons too."""
    end = width - 1 if family == "maskrcnn_benchmark" else width
    x1, y1, x2, y2 = objects.boxes.T
    forms = [_mirrored_form(form, 0, width, end) for form in objects.forms]
    return replace(objects, boxes=np.stack([end - x2, y1, end - x1, y2], axis=1), forms=forms)


def _turned_over(objects: _Objects, height: int, family: Convention) -> _Objects:
    """Mirrored top to bottom: y becomes H - y; in maskrcnn-benchmark H - 1 - y, but of polygons alone."""
    end = height - 1 if family == "maskrcnn_benchmark" else height
    x1, y1, x2, y2 = objects.boxes.T
    forms = [_mirrored_form(form, 1, height, end) for form in objects.forms]
    return replace(objects, boxes=np.stack([x1, height - y2, x2, height - y1], axis=1), forms=forms)


def _mirrored_form(form: Outline, axis: int, side: int, end: int) -> Outline:
    """A form mirrored along x (axis 0) or y (axis 1): polygons about `end`, a bitmap in the image's `side` pixels."""
    if form.bitmap is None:
        return Outline(tuple(_mirrored(polygon, axis, end) for polygon in form.polygons))
    corner = list(form.corner)
    corner[axis] = side - corner[axis] - form.bitmap.shape[1 - axis]
    return Outline(bitmap=np.ascontiguousarray(np.flip(form.bitmap, 1 - axis)), corner=tuple(corner))


def _mirrored(polygon: np.ndarray, axis: int, end: int) -> np.ndarray:
    """x, y, x, y, ... with each x (axis 0) or y (axis 1) measured back from `end`."""
    mirrored = polygon.copy()
    mirrored[axis::2] = end - polygon[axis::2]
    return mirrored


class Inference(ImageInference):
    """Makes the sample of a data set's position for prediction: the image as `prepare` makes it, and `image_id`."""

    prepare = staticmethod(prepare)
    join = staticmethod(join)
