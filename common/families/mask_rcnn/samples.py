"""Makes Mask R-CNN's samples: images of their own sizes, with objects for training, and alone for prediction."""

from dataclasses import dataclass, replace

import numpy as np
from pycocotools import mask as rle

from common.boxes import Convention
from common.data.coco import CocoDataset, Objects, clip_boxes, has_area
from common.data.samples import ImageInference, require_same_class_count
from common.data.transforms import maybe
from common.errors import UserError
from common.families.mask_rcnn.colour_jitter import jitter_colours
from common.families.mask_rcnn.outlines import Outline, pack_outlines
from common.families.mask_rcnn.resizing import find_nearest, resize, resized_size
from common.families.mask_rcnn.sampling import make_anchor_targets
from common.families.mask_rcnn.settings import MaskRcnnSettings

_SMALLEST_SIDE = 1e-5  # below it, detectron2 drops a resized box


@dataclass(frozen=True)
class _Objects:
    """The G objects of an image that are trained on: boxes (G, 4) xyxy float32, labels (G,) from 0, and outlines."""

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
        # Batches hold either wide or high images, since both together would be padded to a square.
        self.groups = (sizes[:, 0] >= sizes[:, 1]).astype(np.int8)

    def __len__(self) -> int:
        return len(self.positions)

    def __call__(self, index: int, rng: np.random.Generator) -> dict:
        """Makes a sample: `image` (3, h, w), not padded, `image_id`, `boxes` (G, 4), `labels` (G,) and `outlines`.

        Labels are numbers of the network's outputs, among which the background comes first or last. `seed` is for the
        numbers that the training step draws for the sample.
        """
        settings, position = self.settings, int(self.positions[index])
        augmentation, preprocessing, convention = settings.augmentation, settings.preprocessing, settings.convention
        short_sides = augmentation.short_sides
        short_side = int(rng.choice(short_sides)) if short_sides else preprocessing.short_side
        flips = maybe(rng, augmentation.flip), maybe(rng, augmentation.vertical_flip)
        image = jitter_colours(self.dataset.image(position, settings.reads_upright), augmentation, rng)
        original = image.shape[:2]
        size = resized_size(original, short_side, augmentation.long_side or preprocessing.long_side, convention)
        pixels = resize(image, size, preprocessing, convention)
        objects = _load_objects(self.dataset, position, original, size, flips, convention)
        objects = _drop_small(_resize_objects(objects, original, size), size, convention)
        if flips[0]:
            pixels = np.ascontiguousarray(pixels[:, :, ::-1])
            objects = _flip_left_right(objects, size[1], convention)
        if flips[1]:
            pixels = np.ascontiguousarray(pixels[:, ::-1])
            objects = _flip_top_bottom(objects, size[0], convention)
        first = 1 if settings.network.background == "first" else 0
        return {
            "image": pixels,
            "image_id": self.dataset.image_ids[position],
            "boxes": objects.boxes,
            "labels": objects.labels + np.int32(first),
            "outlines": objects.outlines,
            "seed": np.int64(rng.integers(2**31)),
        }

    def collate(self, samples: list[dict]) -> dict[str, np.ndarray]:
        return collate(samples, self.settings)

    def describe(self, index: int) -> str:
        return f"image {self.dataset.image_ids[self.positions[index]]}"


def collate(samples: list[dict], settings: MaskRcnnSettings) -> dict[str, np.ndarray]:
    """Joins training samples to the batch that the losses take: images padded to one size, anchor targets and objects.

    Arrays named `host.` stay in NumPy: regions are sampled, and their mask targets made, in the training step.
    """
    image, sizes = _pad([sample["image"] for sample in samples], settings.preprocessing.pad_multiple)
    anchor_targets = [
        make_anchor_targets(sample["boxes"], tuple(size), image.shape[2:], settings, int(sample["seed"]))
        for sample, size in zip(samples, sizes.tolist(), strict=True)
    ]
    return {
        "image": image,
        "image_id": np.stack([sample["image_id"] for sample in samples]),
        **{name: np.stack([targets[name] for targets in anchor_targets]) for name in anchor_targets[0]},
        "normaliser.ranks": np.ones(1, np.float32),
        "host.image_size": sizes,
        "host.boxes": np.concatenate([sample["boxes"] for sample in samples]),
        "host.labels": np.concatenate([sample["labels"] for sample in samples]),
        "host.counts": np.array([len(sample["boxes"]) for sample in samples], np.int32),
        "host.seed": np.stack([sample["seed"] for sample in samples]),
        **pack_outlines([outline for sample in samples for outline in sample["outlines"]]),
    }


def prepare(image: np.ndarray, settings: MaskRcnnSettings) -> dict[str, np.ndarray]:
    """Makes the sample for prediction of an image (H, W, 3) uint8 RGB.

    It holds `image` (3, h, w) float32, not padded, and `original_size` (2,), the height and width.
    """
    preprocessing, original = settings.preprocessing, image.shape[:2]
    size = resized_size(original, preprocessing.short_side, preprocessing.long_side, settings.convention)
    return {
        "image": resize(image, size, preprocessing, settings.convention),
        "original_size": np.array(original, np.int32),
    }


def join(samples: list[dict[str, np.ndarray]], settings: MaskRcnnSettings) -> dict[str, np.ndarray]:
    """Joins samples for prediction to a batch of images padded to one size; `image_size` (N, 2) is without padding."""
    image, sizes = _pad([sample["image"] for sample in samples], settings.preprocessing.pad_multiple)
    others = {name: np.stack([sample[name] for sample in samples]) for name in samples[0] if name != "image"}
    return {"image": image, "image_size": sizes} | others


def _pad(images: list[np.ndarray], multiple: int) -> tuple[np.ndarray, np.ndarray]:
    """Pads images (3, h, w) to the right and below with zeros, which are the mean colour.

    Returns the images (N, 3, H, W), whose sides are multiples of `multiple`, and their sizes without the padding
    (N, 2) int32.
    """
    sizes = np.array([image.shape[1:] for image in images], np.int32)
    height, width = -(-sizes.max(axis=0) // multiple) * multiple
    padded = np.zeros((len(images), 3, height, width), np.float32)
    for image, canvas in zip(images, padded, strict=True):
        canvas[:, : image.shape[1], : image.shape[2]] = image
    return padded, sizes


def _load_objects(
    dataset: CocoDataset,
    position: int,
    original: tuple[int, int],
    size: tuple[int, int],
    flips: tuple[bool, bool],
    convention: Convention,
) -> _Objects:
    """Loads an image's objects; crowds and objects without a mask are left out.

    original, size: the image's (H, W) before and after resizing; flips: whether it is mirrored left to right, and
    top to bottom, after resizing. Boxes and polygons are in the original's pixels, while bitmaps are already resized.
    torchvision makes mask targets of bitmaps, the others of polygons if an object has them.
    """
    annotations = dataset.objects(position, original)
    boxes = _clip_boxes(annotations, original, convention)
    has_mask = np.array([encoded is not None for encoded in annotations.rles], bool)
    kept, outlines = [], []
    for row in np.flatnonzero(has_area(boxes) & ~annotations.crowd & has_mask).tolist():
        polygons = () if convention == "torchvision" else dataset.polygons(position, row)
        outline = Outline(polygons) if polygons else _resize_mask(annotations.rles[row], size, flips, convention)
        # detectron2 alone drops an empty bitmap; no original asks whether polygons contain a pixel.
        if convention != "detectron2" or outline.bitmap is None or outline.bitmap.any():
            kept.append(row)
            outlines.append(outline)
    return _Objects(boxes[kept], annotations.labels[kept], outlines)


def _clip_boxes(objects: Objects, size: tuple[int, int], convention: Convention) -> np.ndarray:
    """Returns the objects' boxes (M, 4) xyxy cut to the image; in maskrcnn-benchmark they end at their last pixels."""
    if convention != "maskrcnn_benchmark":
        return clip_boxes(objects.boxes, size)
    sides = np.maximum(objects.boxes[:, 2:] - objects.boxes[:, :2] - 1, 0)
    boxes = np.concatenate([objects.boxes[:, :2], objects.boxes[:, :2] + sides], axis=1)
    return clip_boxes(boxes, (size[0] - 1, size[1] - 1))


def _resize_mask(encoded: dict, size: tuple[int, int], flips: tuple[bool, bool], convention: Convention) -> Outline:
    """Resizes a mask, given as a packed RLE, to `size` (H, W) by the nearest pixel, and cuts out where it is not empty.

    flips: whether it is mirrored left to right, and top to bottom, afterwards.
    """
    height, width = encoded["size"]
    source_y, source_x = find_nearest(height, size[0], convention), find_nearest(width, size[1], convention)
    # torchvision mirrors before it resizes, which differs as its nearest pixel lies to the left and above.
    if convention == "torchvision":
        source_x = width - 1 - source_x[::-1] if flips[0] else source_x
        source_y = height - 1 - source_y[::-1] if flips[1] else source_y
    left, top, box_width, box_height = rle.toBbox(encoded)
    x = _find_span(source_x, left, left + box_width)
    y = _find_span(source_y, top, top + box_height)
    return Outline(bitmap=rle.decode(encoded)[source_y[y, None], source_x[x]], corner=(int(x[0]), int(y[0])))


def _find_span(sources: np.ndarray, start: float, end: float) -> np.ndarray:
    """Returns the resized pixels whose `sources` are from `start` to before `end`, and one more on each side if any."""
    first, last = np.searchsorted(sources, (start, end))
    return np.arange(max(first - 1, 0), min(last + 1, len(sources)))


def _resize_objects(objects: _Objects, original: tuple[int, int], size: tuple[int, int]) -> _Objects:
    """Resizes boxes and polygons from an image of size `original` (H, W) to `size` (H, W)."""
    ratio = np.array([size[1] / original[1], size[0] / original[0]])
    outlines = [
        replace(outline, polygons=tuple((np.reshape(each, (-1, 2)) * ratio).reshape(-1) for each in outline.polygons))
        for outline in objects.outlines
    ]
    return replace(objects, boxes=(objects.boxes * np.tile(ratio, 2)).astype(np.float32), outlines=outlines)


def _drop_small(objects: _Objects, size: tuple[int, int], convention: Convention) -> _Objects:
    """Cuts resized boxes to the image again, and drops those that are too small then; detectron2 alone does this."""
    if convention != "detectron2":
        return objects
    boxes = clip_boxes(objects.boxes, size)
    large = (boxes[:, 2:] - boxes[:, :2] > _SMALLEST_SIDE).all(axis=1)
    return _Objects(boxes[large], objects.labels[large], [objects.outlines[row] for row in np.flatnonzero(large)])


def _flip_left_right(objects: _Objects, width: int, convention: Convention) -> _Objects:
    """Mirrors objects left to right: x becomes W - x, in maskrcnn-benchmark W - 1 - x."""
    end = width - 1 if convention == "maskrcnn_benchmark" else width
    x1, y1, x2, y2 = objects.boxes.T
    outlines = [_flip_outline(outline, 0, width, end) for outline in objects.outlines]
    return replace(objects, boxes=np.stack([end - x2, y1, end - x1, y2], axis=1), outlines=outlines)


def _flip_top_bottom(objects: _Objects, height: int, convention: Convention) -> _Objects:
    """Mirrors objects top to bottom: y becomes H - y, in maskrcnn-benchmark H - 1 - y but for boxes."""
    end = height - 1 if convention == "maskrcnn_benchmark" else height
    x1, y1, x2, y2 = objects.boxes.T
    outlines = [_flip_outline(outline, 1, height, end) for outline in objects.outlines]
    return replace(objects, boxes=np.stack([x1, height - y2, x2, height - y1], axis=1), outlines=outlines)


def _flip_outline(outline: Outline, axis: int, side: int, end: int) -> Outline:
    """Mirrors an outline along x (axis 0) or y (axis 1) in an image with `side` pixels along it.

    A polygon's coordinate v becomes `end` - v.
    """
    if outline.bitmap is None:
        return Outline(tuple(_flip_polygon(polygon, axis, end) for polygon in outline.polygons))
    corner = list(outline.corner)
    corner[axis] = side - corner[axis] - outline.bitmap.shape[1 - axis]
    return Outline(bitmap=np.ascontiguousarray(np.flip(outline.bitmap, 1 - axis)), corner=tuple(corner))


def _flip_polygon(polygon: np.ndarray, axis: int, end: int) -> np.ndarray:
    """Replaces each x (axis 0) or y (axis 1), v, of a polygon (2 K,) x, y, x, y, ... by `end` - v."""
    flipped = polygon.copy()
    flipped[axis::2] = end - polygon[axis::2]
    return flipped


class Inference(ImageInference):
    """Makes samples for prediction by an image's position in a data set: those of `prepare`, and `image_id`."""

    prepare = staticmethod(prepare)
    join = staticmethod(join)
