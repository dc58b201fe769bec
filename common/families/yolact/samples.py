"""YOLACT's samples: an image and its targets for training, an image as the network wants it for inference."""

from dataclasses import replace

import numpy as np

from common.data import transforms
from common.data.coco import CocoDataset, Sample
from common.data.samples import ImageInference, check_classes
from common.errors import UserError
from common.families.yolact import augmentation
from common.families.yolact.settings import YolactSettings
from common.families.yolact.targets import collate, make_targets

# What surrounds an image that was made smaller: COCO's mean colour, whatever the backbone's own normalisation.
_SURROUNDING = (123.68, 116.78, 103.94)
_MOST_REDRAWS = 100


class Training:
    """Makes the training sample of an index: an entry of a batch before `collate`.

    Indices count the images that have an object to train on; `positions` (K,), from a data check for instance, leaves
    out more.
    """

    def __init__(self, dataset: CocoDataset, settings: YolactSettings, positions: np.ndarray | None = None) -> None:
        check_classes(dataset, settings)
        self.dataset, self.settings = dataset, settings
        if positions is None:
            positions = np.setdiff1d(dataset.positions_with_objects(), dataset.missing_images())
        self.positions = positions
        if not len(positions):
            raise UserError(f"{dataset.annotations}: no image with an object to train on")

    def __len__(self) -> int:
        return len(self.positions)

    def __call__(self, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        sample = self._with_objects(index, rng)
        size = self.settings.preprocessing.size
        targets = make_targets(sample.boxes / size, sample.labels, sample.crowd, sample.masks, self.settings, rng)
        image = transforms.normalise(sample.image, self.settings.preprocessing)
        return {"image": image, "image_id": np.int64(sample.image_id), **targets}

    def collate(self, samples: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        return collate(samples)

    def describe(self, index: int) -> str:
        return f"image {self.dataset.image_ids[self.positions[index]]}"

    def _with_objects(self, index: int, rng: np.random.Generator) -> Sample:
        """The augmented sample; where no object survives, as in the original, that of another image."""
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
    """(H, W, 3) uint8 RGB -> `image` (3, S, S) float32, whose aspect is not kept, and `original_size` (H, W)."""
    size = settings.preprocessing.size
    resized = transforms.resize_image(image.astype(np.float32), (size, size))
    return {
        "image": transforms.normalise(resized, settings.preprocessing),
        "original_size": np.array(image.shape[:2], np.int32),
    }


def join(samples: list[dict[str, np.ndarray]], settings: YolactSettings) -> dict[str, np.ndarray]:
    """Samples for prediction -> a batch."""
    return {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}


def augment(sample: Sample, settings: YolactSettings, rng: np.random.Generator) -> Sample:
    """The original's augmentation, which asks for its random numbers in the original's order too.

    The image comes out square, as float32, not yet normalised.
    """
    chosen, size = settings.augmentation, settings.preprocessing.size
    image = augmentation.photometric(sample.image, rng) if chosen.photometric else sample.image.astype(np.float32)
    sample = replace(sample, image=image)
    sample = _reframe(sample, chosen.expand and not transforms.maybe(rng), chosen.sample_crop, rng)
    if chosen.mirror and transforms.maybe(rng):
        sample = augmentation.flip(sample)
    sample = augmentation.resize(sample, (size, size))
    sides = sample.boxes[:, 2:] - sample.boxes[:, :2]
    return augmentation.keep(sample, (sides > chosen.smallest_side).all(axis=1))


def _reframe(sample: Sample, expand: bool, crop: bool, rng: np.random.Generator) -> Sample:
    """Expansion and crop in one, so that the canvas of up to sixteen images around the crop is never made."""
    height, width = sample.image.shape[:2]
    left, top, right, bottom = augmentation.expansion((height, width), rng) if expand else (0, 0, width, height)
    if crop:
        boxes = sample.boxes - np.array([left, top, left, top], np.float32)
        rectangle, kept = augmentation.sample_crop(boxes, sample.crowd, (bottom - top, right - left), rng)
        left, top, right, bottom = (edge + start for edge, start in zip(rectangle, (left, top) * 2, strict=True))
        sample = augmentation.keep(sample, kept)
    return augmentation.window(sample, (left, top, right, bottom), _SURROUNDING)


class Inference(ImageInference):
    """Makes the sample of a data set's position for prediction: the image as `prepare` makes it, and `image_id`."""

    prepare = staticmethod(prepare)
    join = staticmethod(join)
