"""The kinds about what data goes through before a network sees it; they need NumPy alone."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from common.array import Array
from common.data import transforms
from common.data.coco import Sample
from common.families.mask_rcnn.conventions import CONVENTIONS
from common.families.mask_rcnn.resizing import resized_size
from common.families.yolact.samples import augment
from common.models import load_settings
from tests.goldens import golden

Answers = dict[str, np.ndarray]

_CONVENTIONS = {"mb": "maskrcnn_benchmark", "tv": "torchvision", "d2": "detectron2"}


class GivenDraws:
    """A generator whose uniform numbers from 0 to 1 are given, one for whatever is asked of it."""

    def __init__(self, numbers: np.ndarray) -> None:
        self._numbers = list(numbers)

    def integers(self, low: int, high: int | None = None) -> int:
        low, high = (0, low) if high is None else (low, high)
        return low + int((high - low) * self._numbers.pop(0))

    def choice(self, options: Sequence) -> Any:
        return options[self.integers(len(options))]

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self._numbers.pop(0)

    def random(self) -> float:
        return self._numbers.pop(0)

    def __len__(self) -> int:
        """How many numbers are left."""
        return len(self._numbers)


def yolact_augmentation(case: Path, framework: str, device: str, xp: ModuleType, like: Array, folder: Path) -> Answers:
    """Each training image through `augment` and `normalise`, with the original's own random numbers."""
    manifest, arrays = golden.manifest(case), golden.arrays(case)
    settings = load_settings(manifest["model"])
    side, answers = settings.preprocessing.size, {}
    for index in range(sum(name.endswith(".image") for name in manifest["outputs"])):
        draws = GivenDraws(arrays[f"in.{index}.draws"])
        found = augment(_sample(arrays, index), settings, draws)
        assert len(draws) == 0, f"image {index}: {len(draws)} of the original's random numbers were not asked for"
        answers |= {
            f"{index}.image": transforms.normalise(found.image, settings.preprocessing),
            f"{index}.boxes": found.boxes.astype(np.float64) / side,
            f"{index}.labels": np.where(found.crowd, -1, found.labels),
            f"{index}.masks": found.masks,
        }
    return answers


def resized_sizes(case: Path, framework: str, device: str, xp: ModuleType, like: Array, folder: Path) -> Answers:
    """The size of each image for the network by the rule of each original."""
    sizes = golden.arrays(case)["in.sizes"].tolist()
    return {
        prefix: np.array([resized_size(tuple(size), 800, 1333, CONVENTIONS[name]) for size in sizes])
        for prefix, name in _CONVENTIONS.items()
    }


def _sample(arrays: dict[str, np.ndarray], index: int) -> Sample:
    image, boxes = arrays[f"in.{index}.image"], arrays[f"in.{index}.boxes"]
    pixels = image.shape[0] * image.shape[1]
    masks = np.unpackbits(arrays[f"in.{index}.masks"], axis=1)[:, :pixels]
    return Sample(
        image_id=index,
        image=image,
        boxes=boxes.astype(np.float32),
        labels=arrays[f"in.{index}.labels"].astype(np.int32),
        crowd=arrays[f"in.{index}.crowd"],
        masks=masks.reshape(-1, *image.shape[:2]),
        annotation_ids=np.arange(len(boxes)),
    )
