"""The kind of Swin's augmentation: a data set of the case's images, read and changed by the samples of training."""

import json
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
from pycocotools import mask as rle

from common.array import Array
from common.data.coco import CocoDataset
from common.families.mask_rcnn.outlines import Outline
from common.families.mask_rcnn.samples import Training
from common.models import load_settings
from tests.goldens import golden
from tests.goldens.data_kinds import GivenDraws

Answers = dict[str, np.ndarray]


def augmentation(case: Path, framework: str, device: str, xp: ModuleType, like: Array, folder: Path) -> Answers:
    """Each image from its file to a batch of itself, with the original's own random numbers."""
    manifest, arrays = golden.manifest(case), golden.arrays(case)
    settings = load_settings(manifest["model"])
    count = sum(name.endswith(".image") for name in manifest["outputs"])
    training = Training(_data_set(arrays, count, settings.num_classes, folder), settings)
    answers = {}
    for index in range(count):
        draws = _draws(arrays[f"in.{index}.draws"])
        sample = training(index, draws)
        assert len(draws) == 0, f"image {index}: {len(draws)} of the original's random numbers were not asked for"
        batch = training.collate([sample])
        size = batch["image"].shape[2:]
        answers |= {
            f"{index}.image": batch["image"][0],
            f"{index}.size": batch["host.image_size"][0],
            f"{index}.boxes": batch["host.boxes"],
            f"{index}.labels": batch["host.labels"],
            f"{index}.masks": np.array([_whole(outline, size) for outline in sample["outlines"]]),
        }
    return answers


def _draws(numbers: np.ndarray) -> GivenDraws:
    """The original's numbers as ours are asked for: we mirror where it does not, and then draw the sample's seed."""
    return GivenDraws(np.array([1 - numbers[0], *numbers[1:], 0.0]))


def _data_set(arrays: dict[str, np.ndarray], count: int, classes: int, folder: Path) -> CocoDataset:
    """Writes the images and their objects as COCO does, a label from 0 as the category of the next number."""
    (folder / "images").mkdir()
    images, annotations = [], []
    for index in range(count):
        height, width = arrays[f"in.{index}.size"].tolist()
        pixels = arrays[f"in.{index}.blocks"].repeat(16, 0).repeat(16, 1)[:height, :width]
        cv2.imwrite(str(folder / f"images/{index}.png"), pixels[:, :, ::-1])
        images.append({"id": index, "file_name": f"{index}.png", "height": height, "width": width})
        masks = np.unpackbits(arrays[f"in.{index}.masks"], axis=1)[:, : height * width].reshape(-1, height, width)
        boxes = arrays[f"in.{index}.boxes"].astype(np.float64)
        for box, label, mask in zip(boxes, arrays[f"in.{index}.labels"].tolist(), masks, strict=True):
            packed = rle.encode(np.asfortranarray(mask))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index,
                    "category_id": label + 1,
                    "bbox": [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()],
                    "area": int(mask.sum()),
                    "iscrowd": 0,
                    "segmentation": {"size": packed["size"], "counts": packed["counts"].decode()},
                }
            )
    categories = [{"id": number + 1, "name": f"class {number}"} for number in range(classes)]
    contents = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(contents))
    return CocoDataset(folder / "annotations.json", folder / "images")


def _whole(outline: Outline, size: tuple[int, int]) -> np.ndarray:
    """The bitmap (H, W) of an outline's image."""
    whole = np.zeros(size, np.uint8)
    (x, y), (height, width) = outline.corner, outline.bitmap.shape
    whole[y : y + height, x : x + width] = outline.bitmap
    return whole
