"""The kind of Mask2Former's augmentation: a panoptic data set of the case's images, changed by the training samples."""

import json
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np

from common.array import Array
from common.data.panoptic import PanopticDataset, write_ids
from common.families.mask2former.samples import Training
from common.models import load_settings
from tests.goldens import golden
from tests.goldens.data_kinds import GivenDraws

Answers = dict[str, np.ndarray]


def augmentation(case: Path, framework: str, device: str, xp: ModuleType, like: Array, folder: Path) -> Answers:
    """Each image from its file to a batch of itself, with the original's own random numbers."""
    manifest, arrays = golden.manifest(case), golden.arrays(case)
    # The case has the pixels before they are normalised, and each segment is of a class of its own.
    plain = ["preprocessing.mean=[0,0,0]", "preprocessing.deviation=[1,1,1]", "num_classes=6", "things=6"]
    settings = load_settings(manifest["model"], plain)
    count = sum(name.endswith(".image") for name in manifest["outputs"])
    training = Training(_data_set(arrays, count, folder), settings)
    answers = {}
    for index in range(count):
        flipped, *others = arrays[f"in.{index}.draws"]
        # The original mirrors below a half, we above; then the sample's seed is drawn.
        draws = GivenDraws(np.array([1 - flipped, *others, 0.0]))
        batch = training.collate([training(index, draws)])
        assert len(draws) == 0, f"image {index}: {len(draws)} of the original's random numbers were not asked for"
        assert batch["host.labels"].tolist() == np.flatnonzero(~arrays[f"in.{index}.crowd"]).tolist()
        answers |= {
            f"{index}.image": batch["image"][0],
            f"{index}.masks": batch["masks"],
            f"{index}.areas": batch["masks"].sum(axis=(1, 2), dtype=np.int64),
        }
    return answers


def _data_set(arrays: dict[str, np.ndarray], count: int, folder: Path) -> PanopticDataset:
    """Writes the images, the PNGs of their segments, and these with the category of their number in the image."""
    (folder / "images").mkdir()
    (folder / "annotations").mkdir()
    images, annotations = [], []
    for index in range(count):
        height, width = arrays[f"in.{index}.size"].tolist()
        pixels = arrays[f"in.{index}.blocks"].repeat(16, 0).repeat(16, 1)[:height, :width]
        cv2.imwrite(str(folder / f"images/{index}.png"), pixels[:, :, ::-1])
        write_ids(folder / f"annotations/{index}.png", arrays[f"in.{index}.ids"])
        images.append({"id": index, "file_name": f"{index}.png", "height": height, "width": width})
        numbered = zip(arrays[f"in.{index}.segments"].tolist(), arrays[f"in.{index}.crowd"].tolist(), strict=True)
        segments = [
            {"id": identity, "category_id": number, "iscrowd": int(crowd)}
            for number, (identity, crowd) in enumerate(numbered, start=1)
        ]
        annotations.append({"image_id": index, "file_name": f"{index}.png", "segments_info": segments})
    categories = [{"id": number, "name": f"class {number}", "isthing": 1} for number in range(1, 7)]
    contents = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(contents))
    return PanopticDataset(folder / "annotations.json", folder / "images")
