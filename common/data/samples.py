"""What the families' modules of samples have, and what they share.

`common/families/FAMILY/samples.py` has, in every family:

    Training(dataset, settings, positions=None)   makes a training sample of an index
    Inference(dataset, settings)                  makes the sample of a position for prediction
    prepare(image, settings)                      the same of an image (H, W, 3) uint8 RGB that is in no data set
    join(samples, settings)                       a batch of samples for prediction

Both classes have `len`, `describe(index)` and `collate(samples)`, as `Loader` and `ordered` want them. A batch for
prediction is what `Learner.predict` takes: `image` (N, 3, H, W) float32 and `original_size` (N, 2), each image's own
height and width, with what else the family needs; of a data set also `image_id` (N,).
"""

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from common.config import Settings
from common.data.coco import CocoDataset
from common.errors import UserError


class ImageInference:
    """Makes the sample of a data set's position for prediction, for families that need the image alone.

    It is what the family's `prepare` makes, and `image_id`; a family's class names its own `prepare` and `join`.
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


def check_classes(dataset: CocoDataset, settings: Settings) -> None:
    """Refuses to train on a data set whose number of classes is not the model's."""
    found, expected = len(dataset.class_names), settings.num_classes
    if found != expected:
        raise UserError(
            f"{dataset.annotations} has {found} classes, {settings.model or 'the model'} is set for {expected}; "
            f"num_classes={found} makes it fit"
        )
