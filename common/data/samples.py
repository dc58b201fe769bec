"""Defines what every family's module of samples has, and holds what these modules share.

`common/families/FAMILY/samples.py` has, in every family:

    Training(dataset, settings, positions=None)   makes training samples by index
    Inference(dataset, settings)                  makes samples for prediction by an image's position in the data set
    prepare(image, settings)                      makes the sample for prediction of any image (H, W, 3) uint8 RGB
    join(samples, settings)                       joins samples for prediction to a batch

Both classes have `len`, `describe(index)` and `collate(samples)`, which `Loader` and `ordered` call. A batch for
prediction is what `Learner.predict` takes: `image` (N, 3, H, W) float32, `original_size` (N, 2), each image's own
height and width, and what else the family needs. If the images are a data set's, it also has `image_id` (N,).
"""

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from common.config import Settings
from common.data.coco import CocoDataset
from common.data.transforms import pad_images
from common.errors import UserError


class ImageInference:
    """Makes samples for prediction by an image's position in a data set, for families that need the image alone.

    A sample is what the family's `prepare` makes, and `image_id`. A family's own class sets `prepare` and `join`.
    """

    prepare: ClassVar[Callable[[np.ndarray, Settings], dict[str, np.ndarray]]]
    join: ClassVar[Callable[[list[dict[str, np.ndarray]], Settings], dict[str, np.ndarray]]]

    def __init__(self, dataset: CocoDataset, settings: Settings) -> None:
        self.dataset, self.settings = dataset, settings

    def __len__(self) -> int:
        return len(self.dataset)

    def __call__(self, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        image = self.dataset.image(index, self.settings.reads_upright)
        sample = self.prepare(image, self.settings)
        return sample | {"image_id": self.dataset.image_ids[index]}

    def collate(self, samples: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        return self.join(samples, self.settings)

    def describe(self, index: int) -> str:
        return f"image {self.dataset.image_ids[index]}"


def join(samples: list[dict[str, np.ndarray]], settings: Settings) -> dict[str, np.ndarray]:
    """Joins samples for prediction whose images have sizes of their own: the `join` of families of such images.

    Images are padded to one size; `image_size` (N, 2) is theirs without the padding.
    """
    image, sizes = pad_images([sample["image"] for sample in samples], settings.preprocessing.pad_multiple)
    others = {name: np.stack([sample[name] for sample in samples]) for name in samples[0] if name != "image"}
    return {"image": image, "image_size": sizes} | others


def require_same_class_count(dataset: CocoDataset, settings: Settings) -> None:
    """Refuses a data set to train on that has another number of classes than the model."""
    found, expected = len(dataset.class_names), settings.num_classes
    if found != expected:
        raise UserError(
            f"{dataset.annotations} has {found} classes, {settings.model or 'the model'} is set for {expected}; "
            f"num_classes={found} makes it fit"
        )
