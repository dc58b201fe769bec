"""Makes Mask R-CNN's samples: images of their own sizes, with objects for training, and alone for prediction."""

import numpy as np

from common.data.coco import CocoDataset, Objects
from common.data.samples import ImageInference, join, require_same_class_count
from common.data.transforms import maybe, normalise, pad_images
from common.errors import UserError
from common.families.mask_rcnn import views
from common.families.mask_rcnn.colour_jitter import jitter_colours
from common.families.mask_rcnn.copy_paste import copy_paste
from common.families.mask_rcnn.crop import maybe_crop
from common.families.mask_rcnn.expansion import maybe_expand
from common.families.mask_rcnn.jitter import jitter
from common.families.mask_rcnn.losses import count_anchors
from common.families.mask_rcnn.objects import (
    TrainedObjects,
    choose_objects,
    cut_to_image,
    mirror_left_to_right,
    mirror_top_to_bottom,
    resize_objects,
)
from common.families.mask_rcnn.outlines import pack_outlines
from common.families.mask_rcnn.resizing import plan_resizing, resize, resized_size
from common.families.mask_rcnn.sampling import make_anchor_targets
from common.families.mask_rcnn.settings import MaskRcnnSettings
from common.training.drop_path import draw_branches


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
        self.positions = positions[~np.isin(positions, dataset.small_images(settings.smallest_trained_side))]
        if not len(self.positions):
            raise UserError(f"{dataset.annotations}: no image to train on")
        sizes = dataset.image_sizes()[self.positions]
        # Batches hold either wide or high images, since both together would be padded to a square; canvases are alike.
        is_high = sizes[:, 0] >= sizes[:, 1]
        are_alike = settings.rules.size_rule == "canvas" or settings.augmentation.jitter is not None
        self.groups = None if are_alike else is_high.astype(np.int8)

    def __len__(self) -> int:
        return len(self.positions)

    def __call__(self, index: int, rng: np.random.Generator) -> dict:
        """Reads, changes and resizes one image with its objects.

        Returns `image` (3, h, w), not padded, `image_id`, `boxes` (G, 4) xyxy, `labels` (G,), which count the network's
        outputs, `outlines`, and `seed`, which decides what is drawn for the sample in the training step.
        """
        make = self._make_step_by_step if self.settings.rules.mirrors == "first" else self._make_at_once
        pixels, objects = make(index, rng)
        return {
            "image": pixels,
            "image_id": self.dataset.image_ids[self.positions[index]],
            "boxes": objects.boxes,
            "labels": objects.labels + np.int32(self.settings.first_label),
            "outlines": objects.outlines,
            "seed": np.int64(rng.integers(2**31)),
        }

    def collate(self, samples: list[dict]) -> dict[str, np.ndarray]:
        return collate(samples, self.settings)

    def describe(self, index: int) -> str:
        return f"image {self.dataset.image_ids[self.positions[index]]}"

    def _make_step_by_step(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, TrainedObjects]:
        """The pixels (3, h, w) and objects of an image that is mirrored first and then cut and resized."""
        view = self._look_at(index, rng)
        if maybe(rng, self.settings.augmentation.copy_paste):
            view = copy_paste(view, self._look_at(int(rng.integers(len(self))), rng), rng)
        view = views.frame(view)
        return normalise(view.image, self.settings.preprocessing), view.objects

    def _look_at(self, index: int, rng: np.random.Generator) -> views.View:
        """One image with its objects at the size that the network gets it in."""
        settings = self.settings
        augmentation, preprocessing, rules = settings.augmentation, settings.preprocessing, settings.rules
        flips = maybe(rng, augmentation.flip), maybe(rng, augmentation.vertical_flip)
        view = views.mirror(views.make_view(*self._read(index, rng), rules), flips, rules)
        if augmentation.jitter is not None:
            return jitter(view, augmentation.jitter, preprocessing, rules, rng)
        long_side = augmentation.long_side or preprocessing.long_side
        view = maybe_crop(view, augmentation.crop, long_side, rules, rng)
        size = resized_size(view.image.shape[:2], self._draw_short_side(rng), long_side, rules)
        return views.resize(view, size, rules)

    def _make_at_once(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, TrainedObjects]:
        """The pixels (3, h, w) and objects of an image that is resized once and mirrored then."""
        settings = self.settings
        augmentation, preprocessing, rules = settings.augmentation, settings.preprocessing, settings.rules
        short_side = self._draw_short_side(rng)
        flips = maybe(rng, augmentation.flip), maybe(rng, augmentation.vertical_flip)
        image, found = self._read(index, rng)
        long_side = augmentation.long_side or preprocessing.long_side
        resizing = plan_resizing(image.shape[:2], short_side, long_side, rules)
        pixels = resize(image, resizing.size, preprocessing, rules)
        height, width = resizing.padded
        objects = choose_objects(self.dataset, int(self.positions[index]), found, resizing, flips, rules)
        objects = cut_to_image(resize_objects(objects, resizing), resizing.size, rules)
        if flips[0]:
            pixels = np.ascontiguousarray(pixels[:, :, ::-1])
            objects = mirror_left_to_right(objects, width, rules)
        if flips[1]:
            pixels = np.ascontiguousarray(pixels[:, ::-1])
            objects = mirror_top_to_bottom(objects, height, rules)
        return pixels, objects

    def _draw_short_side(self, rng: np.random.Generator) -> int:
        short_sides = self.settings.augmentation.short_sides
        return int(rng.choice(short_sides)) if short_sides else self.settings.preprocessing.short_side

    def _read(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, Objects]:
        """An image (H, W, 3) uint8 RGB with other colours, on its ground, and all its annotations."""
        position, augmentation = int(self.positions[index]), self.settings.augmentation
        image = jitter_colours(self.dataset.image(position, self.settings.reads_upright), augmentation, rng)
        found = self.dataset.objects(position, image.shape[:2])
        return maybe_expand(image, found, augmentation.expansion, rng)


def collate(samples: list[dict], settings: MaskRcnnSettings) -> dict[str, np.ndarray]:
    """The batch that `compute_losses` takes: images padded to one size, what their anchors train on, and objects.

    An array whose name begins with host. stays with the processor: regions are sampled, and their masks made, in the
    training step.
    """
    image, sizes = pad_images([sample["image"] for sample in samples], settings.preprocessing.pad_multiple)
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
        **draw_branches([sample["seed"] for sample in samples], settings.network),
    }


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


class Inference(ImageInference):
    """Makes samples for prediction by an image's position in a data set: those of `prepare`, and `image_id`."""

    prepare = staticmethod(prepare)
    join = staticmethod(join)
