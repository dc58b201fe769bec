"""Makes YOLACT's samples: images with targets for training, and images alone for prediction."""

from dataclasses import replace

import numpy as np

from common.data import transforms
from common.data.coco import CocoDataset, Sample
from common.data.samples import ImageInference, require_same_class_count
from common.errors import UserError
from common.families.yolact import augmentation
from common.families.yolact.settings import YolactSettings
from common.families.yolact.targets import collate, make_targets

# The colour around an image that was made smaller is COCO's mean, whatever the backbone's own normalisation.
_SURROUNDING = (123.68, 116.78, 103.94)
_MOST_REDRAWS = 100


class Training:
    """Makes training samples by index: an augmented image (3, S, S) and its targets, which `collate` joins to a batch.

    positions: (K,), the images to train on by their positions in the data set, as a data check finds them; by default
    all images that have an object.
    """

    def __init__(self, dataset: CocoDataset, settings: YolactSettings, positions: np.ndarray | None = None) -> None:
        require_same_class_count(dataset, settings)
        self.dataset, self.settings = dataset, settings
        if positions is None:
            positions = np.setdiff1d(dataset.positions_with_objects(), dataset.missing_images())
        self.positions = positions
        if not len(positions):
            raise UserError(f"{dataset.annotations}: no image with an object to train on")

    def __len__(self) -> int:
        return len(self.positions)

    def __call__(self, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        sample = self._augmented_sample(index, rng)
        size = self.settings.preprocessing.size
        targets = make_targets(sample.boxes / size, sample.labels, sample.crowd, sample.masks, self.settings, rng)
        image = transforms.normalise(sample.image, self.settings.preprocessing)
        return {"image": image, "image_id": np.int64(sample.image_id), **targets}

    def collate(self, samples: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        return collate(samples)

    def describe(self, index: int) -> str:
        return f"image {self.dataset.image_ids[self.positions[index]]}"

    def _augmented_sample(self, index: int, rng: np.random.Generator) -> Sample:
        """Loads and augments a sample; where that leaves no object, takes an image drawn at random, as the original."""
        for _ in range(_MOST_REDRAWS):
            sample = self.dataset.load(int(self.positions[index]))
            if not sample.crowd.all():
                sample = augment(sample, self.settings, rng)
                if not sample.crowd.all():
                    return sample
            index = int(rng.integers(len(self)))
        raise UserError(
            f"{self.dataset.annotations}: in {_MOST_REDRAWS} images no object was left to train on; "
            f"look at the data with python -m common.data.check"
        )


def prepare(image: np.ndarray, settings: YolactSettings) -> dict[str, np.ndarray]:
    """Makes the sample for prediction of an image (H, W, 3) uint8 RGB.

    It holds `image` (3, S, S) float32, whose aspect is not kept, and `original_size` (2,), the height and width.
    """
    size = settings.preprocessing.size
    resized = transforms.resize_image(image.astype(np.float32), (size, size))
    return {
        "image": transforms.normalise(resized, settings.preprocessing),
        "original_size": np.array(image.shape[:2], np.int32),
    }


def join(samples: list[dict[str, np.ndarray]], settings: YolactSettings) -> dict[str, np.ndarray]:
    """Joins samples for prediction to a batch."""
    return {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}


def augment(sample: Sample, settings: YolactSettings, rng: np.random.Generator) -> Sample:
    """Applies the original's augmentation, with its random numbers drawn in the original's order.

    The image becomes (S, S, 3) float32, not yet normalised.
    """
    steps, size = settings.augmentation, settings.preprocessing.size
    image = augmentation.distort_colours(sample.image, rng) if steps.photometric else sample.image.astype(np.float32)
    sample = replace(sample, image=image)
    sample = _reframe(sample, steps.expand and not transforms.maybe(rng), steps.sample_crop, rng)
    if steps.mirror and transforms.maybe(rng):
        sample = augmentation.flip(sample)
    sample = augmentation.resize(sample, (size, size))
    sides = sample.boxes[:, 2:] - sample.boxes[:, :2]
    return augmentation.select_objects(sample, (sides > steps.smallest_side).all(axis=1))


def _reframe(sample: Sample, expand: bool, crop: bool, rng: np.random.Generator) -> Sample:
    """Expands and crops a sample in one step, so that the canvas of up to sixteen times its area is never made."""
    height, width = sample.image.shape[:2]
    left, top, right, bottom = augmentation.draw_expansion((height, width), rng) if expand else (0, 0, width, height)
    if crop:
        boxes = sample.boxes - np.array([left, top, left, top], np.float32)
        rectangle, kept = augmentation.draw_crop(boxes, sample.crowd, (bottom - top, right - left), rng)
        left, top, right, bottom = (edge + start for edge, start in zip(rectangle, (left, top) * 2, strict=True))
        sample = augmentation.select_objects(sample, kept)
    return augmentation.cut_out(sample, (left, top, right, bottom), _SURROUNDING)


class Inference(ImageInference):
    """Makes samples for prediction by an image's position in a data set: those of `prepare`, and `image_id`."""

    prepare = staticmethod(prepare)
    join = staticmethod(join)
