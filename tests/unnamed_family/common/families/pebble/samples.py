"""Pebble's samples: an image and what its cells should answer, or the image alone for prediction."""

import cv2
import numpy as np

from common.data import transforms
from common.data.coco import CocoDataset
from common.data.samples import ImageInference, require_same_class_count
from common.errors import UserError
from common.families.pebble.geometry import cell_of, encode
from common.families.pebble.settings import PebbleSettings


class Training:
    """Makes the training sample of an index, which counts the images that have an object, or `positions` (K,)."""

    def __init__(self, dataset: CocoDataset, settings: PebbleSettings, positions: np.ndarray | None = None) -> None:
        require_same_class_count(dataset, settings)
        self.dataset, self.settings = dataset, settings
        self.positions = dataset.positions_with_objects() if positions is None else positions
        if not len(self.positions):
            raise UserError(f"{dataset.annotations}: no image with an object to train on")

    def __len__(self) -> int:
        return len(self.positions)

    def __call__(self, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        sample = self.dataset.load(int(self.positions[index]))
        objects = zip(
            sample.boxes[~sample.crowd], sample.labels[~sample.crowd], sample.masks[~sample.crowd], strict=True
        )
        return prepare(sample.image, self.settings) | make_targets(list(objects), sample.image.shape[:2], self.settings)

    def collate(self, samples: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        batch = join(samples, self.settings)
        return batch | {"normaliser.objects": np.float32(batch["positive"].sum())}

    def describe(self, index: int) -> str:
        return f"image {self.dataset.image_ids[self.positions[index]]}"


def make_targets(
    objects: list[tuple[np.ndarray, int, np.ndarray]], image_size: tuple[int, int], settings: PebbleSettings
) -> dict[str, np.ndarray]:
    """Objects, each a box (4,), a label and a mask (H, W), of an image (H, W) -> what its cells should answer:

    positive (h * w,), class_targets (h * w, C), box_targets (h * w, 4), mask_targets (h * w, m * m), all float32.
    Of two objects in one cell the last one stays.
    """
    cells, points = settings.grid**2, settings.network.mask_size
    widths = {"class_targets": settings.num_classes, "box_targets": 4, "mask_targets": points**2}
    targets = {name: np.zeros((cells, width), np.float32) for name, width in widths.items()}
    targets["positive"] = np.zeros(cells, np.float32)
    scale = settings.preprocessing.size / np.array(image_size[::-1] * 2, np.float32)
    for box, label, mask in objects:
        cell = cell_of(box * scale, settings.grid)
        targets["positive"][cell] = 1
        targets["class_targets"][cell] = np.arange(settings.num_classes) == label
        targets["box_targets"][cell] = encode(box * scale, cell, settings.grid)
        left, top, right, bottom = *np.floor(box[:2]).astype(int), *np.ceil(box[2:]).astype(int)
        inside = cv2.resize(mask[top:bottom, left:right].astype(np.float32), (points, points))
        targets["mask_targets"][cell] = inside.reshape(-1) > 0.5
    return targets


def prepare(image: np.ndarray, settings: PebbleSettings) -> dict[str, np.ndarray]:
    """(H, W, 3) uint8 RGB -> `image` (3, S, S) float32, whose aspect is not kept, and `original_size` (H, W)."""
    size = settings.preprocessing.size
    resized = transforms.resize_image(image.astype(np.float32), (size, size))
    return {
        "image": transforms.normalise(resized, settings.preprocessing),
        "original_size": np.array(image.shape[:2], np.int32),
    }


def join(samples: list[dict[str, np.ndarray]], settings: PebbleSettings) -> dict[str, np.ndarray]:
    """Samples of images -> a batch."""
    return {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}


class Inference(ImageInference):
    """Makes the sample of a data set's position for prediction: see `prepare`."""

    prepare, join = staticmethod(prepare), staticmethod(join)
