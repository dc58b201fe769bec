"""Makes Mask2Former's samples: squares with the masks of their segments for training, and images for prediction."""

import numpy as np
from pycocotools import mask as rle

from common.data.coco import CocoDataset
from common.data.samples import ImageInference, join, require_same_class_count
from common.data.transforms import fitted_sides, normalise, resize_by_pillow
from common.errors import UserError
from common.families.mask2former.augmentation import Cut, cut_image, cut_map, cut_polygons, draw_cut
from common.families.mask2former.settings import Mask2FormerSettings
from common.training.drop_path import draw_branches


class Training:
    """Makes training samples by index: a square with its segments' masks; `collate` joins them to a batch.

    dataset: a `PanopticDataset` where the settings' task is panoptic. positions: (K,), the images to train on by their
    positions in the data set, as a data check finds them; by default all whose segments are known, and of a set of
    instances those that have an object.
    """

    def __init__(
        self, dataset: CocoDataset, settings: Mask2FormerSettings, positions: np.ndarray | None = None
    ) -> None:
        require_same_class_count(dataset, settings)
        self.dataset, self.settings = dataset, settings
        self.is_panoptic = settings.task == "panoptic"
        if self.is_panoptic:
            _require_same_things(dataset, settings)
        self.positions = self._usable() if positions is None else positions
        if not len(self.positions):
            raise UserError(f"{dataset.annotations}: no image to train on")

    def __len__(self) -> int:
        return len(self.positions)

    def __call__(self, index: int, rng: np.random.Generator) -> dict:
        """Reads one image with its segments and cuts a square from it.

        Returns `image` (3, S, S), `image_id`, `labels` (G,), `masks` (G, S, S) uint8 of 0 and 1, and `seed`, which
        decides what is drawn for the sample in the training step.
        """
        position = int(self.positions[index])
        image = self.dataset.image(position, self.settings.reads_upright)
        size = image.shape[:2]
        cut = draw_cut(size, self.settings.augmentation, rng)
        find = self._find_segments if self.is_panoptic else self._find_objects
        labels, masks = find(position, size, cut)
        return {
            "image": normalise(cut_image(image, cut), self.settings.preprocessing),
            "image_id": self.dataset.image_ids[position],
            "labels": labels,
            "masks": masks,
            "seed": np.int64(rng.integers(2**31)),
        }

    def collate(self, samples: list[dict]) -> dict[str, np.ndarray]:
        return collate(samples, self.settings)

    def describe(self, index: int) -> str:
        return f"image {self.dataset.image_ids[self.positions[index]]}"

    def _usable(self) -> np.ndarray:
        takes_all = self.settings.trains_on_empty_images
        wanted = np.arange(len(self.dataset)) if takes_all else self.dataset.positions_with_objects()
        wanted = np.setdiff1d(wanted, self.dataset.missing_images())
        return np.setdiff1d(wanted, self.dataset.untrainable()) if self.is_panoptic else wanted

    def _find_segments(self, position: int, size: tuple[int, int], cut: Cut) -> tuple[np.ndarray, np.ndarray]:
        """The labels (G,) and masks (G, S, S) of an image's segments that are no crowds.

        Those that are cut away stay, with an empty mask.
        """
        ids, segments = self.dataset.segments(position, size)
        segments, ids = [segment for segment in segments if not segment.crowd], cut_map(ids, cut)
        masks = np.zeros((len(segments), cut.side, cut.side), np.uint8)
        height, width = ids.shape
        for segment, mask in zip(segments, masks, strict=True):
            mask[:height, :width] = ids == segment.id
        return np.array([segment.label for segment in segments], np.int32), masks

    def _find_objects(self, position: int, size: tuple[int, int], cut: Cut) -> tuple[np.ndarray, np.ndarray]:
        """The labels (G,) and masks (G, S, S) of an image's objects that are no crowds.

        Objects of which the cut leaves nothing go. A mask may have no pixel where a polygon covers none.
        """
        found = self.dataset.objects(position, size)
        labels, masks = [], [np.zeros((0, cut.side, cut.side), np.uint8)]
        for row, packed in enumerate(found.rles):
            if packed is None or found.crowd[row]:
                continue
            mask = self._cut_mask(packed, self.dataset.polygons(position, row), cut)
            if mask is not None:
                labels.append(found.labels[row])
                masks.append(mask[None])
        return np.array(labels, np.int32), np.concatenate(masks)

    def _cut_mask(self, packed: dict, polygons: tuple[np.ndarray, ...], cut: Cut) -> np.ndarray | None:
        """The mask (S, S) of an object in the square, drawn anew where it has polygons; None if nothing is left of it.

        packed: the object's mask in the image as an RLE.
        """
        if polygons:
            kept = [polygon.tolist() for polygon in cut_polygons(polygons, cut)]
            return rle.decode(rle.merge(rle.frPyObjects(kept, cut.side, cut.side))) if kept else None
        shown = cut_map(rle.decode(packed), cut)
        mask = np.zeros((cut.side, cut.side), np.uint8)
        mask[: shown.shape[0], : shown.shape[1]] = shown
        return mask if shown.any() else None


def _require_same_things(dataset: CocoDataset, settings: Mask2FormerSettings) -> None:
    """Refuses a panoptic data set of whose classes another number are things than of the model's."""
    found = int(dataset.is_thing.sum())
    if found != settings.things:
        raise UserError(
            f"{dataset.annotations} has {found} classes of things, {settings.model or 'the model'} is set for "
            f"{settings.things}; things={found} makes it fit"
        )


def collate(samples: list[dict], settings: Mask2FormerSettings) -> dict[str, np.ndarray]:
    """The batch that `compute_losses` takes: images, and the masks of all their segments one after the other.

    Without a segment there is one empty mask (1, S, S), which is nobody's. An array whose name begins with host. stays
    with the processor; `normaliser.` is what the losses are divided by, and summed over the ranks before. That of the
    classes counts a query with a segment as one, and any other as the class no-object weighs.
    """
    counts = np.array([len(sample["labels"]) for sample in samples], np.int32)
    masks = np.concatenate([sample["masks"] for sample in samples])
    queries = settings.network.queries
    matched = np.minimum(counts, queries)
    weights = matched + (queries - matched) * settings.losses.no_object_weight
    return {
        "image": np.stack([sample["image"] for sample in samples]),
        "image_id": np.stack([sample["image_id"] for sample in samples]),
        "masks": masks if len(masks) else np.zeros((1, *masks.shape[1:]), np.uint8),
        "host.labels": np.concatenate([sample["labels"] for sample in samples]),
        "host.counts": counts,
        "host.seed": np.stack([sample["seed"] for sample in samples]),
        "normaliser.masks": np.array(counts.sum(), np.float32),
        "normaliser.classes": np.array(weights.sum(), np.float32),
        **draw_branches([sample["seed"] for sample in samples], settings.network),
    }


def prepare(image: np.ndarray, settings: Mask2FormerSettings) -> dict[str, np.ndarray]:
    """Makes the sample for prediction of an image (H, W, 3) uint8 RGB.

    It holds `image` (3, h, w) float32, not padded, and `original_size` (2,), the height and width.
    """
    preprocessing, original = settings.preprocessing, image.shape[:2]
    sides = fitted_sides(original, preprocessing.short_side, preprocessing.long_side)
    height, width = (max(1, int(side + 0.5)) for side in sides)
    return {
        "image": normalise(resize_by_pillow(image, (height, width)), preprocessing),
        "original_size": np.array(original, np.int32),
    }


class Inference(ImageInference):
    """Makes samples for prediction by an image's position in a data set: those of `prepare`, and `image_id`."""

    prepare = staticmethod(prepare)
    join = staticmethod(join)
