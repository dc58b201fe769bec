"""Small data sets in COCO's panoptic format for the tests, sound and broken."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from common.data.panoptic import PanopticDataset, write_ids
from tests.common.data import coco_files
from tests.common.data.coco_files import HEIGHT, WIDTH

# Stuff has the smallest id, and comes last all the same.
CATEGORIES = [
    {"id": 7, "name": "cat", "isthing": 1},
    {"id": 1, "name": "sky", "isthing": 0},
    {"id": 2, "name": "dog", "isthing": 1},
]
# A dog on the left, the sky on the right, and void between.
DOG, SKY = 65536 * 3 + 256 * 2 + 1, 255
AREAS = {DOG: 10 * HEIGHT, SKY: 20 * HEIGHT}


def make_ids() -> np.ndarray:
    ids = np.zeros((HEIGHT, WIDTH), np.int32)
    ids[:, :10], ids[:, 20:] = DOG, SKY
    return ids


def segment(identity: int, **changes: Any) -> dict:
    """The dog's segment or the sky's; a field given as None is left out."""
    record = {"id": identity, "category_id": 2 if identity == DOG else 1, "iscrowd": 0, "area": AREAS.get(identity)}
    return {name: value for name, value in (record | changes).items() if value is not None}


def annotation(image_id: int, *segments: dict, **changes: Any) -> dict:
    """The panoptic annotation of an image, by default with the dog and the sky."""
    listed = list(segments or (segment(DOG), segment(SKY)))
    return {"image_id": image_id, "file_name": f"{image_id}.png", "segments_info": listed} | changes


def write(root: Path, images: list, annotations: list, categories: list | None = None) -> Path:
    """ROOT/annotations.json, the PNGs of `make_ids` in ROOT/annotations, and ROOT/images."""
    coco_files.write(root, images, annotations, CATEGORIES if categories is None else categories)
    (root / "annotations").mkdir(exist_ok=True)
    for entry in annotations:
        write_ids(root / "annotations" / entry["file_name"], make_ids())
    return root


def opened(root: Path) -> PanopticDataset:
    return PanopticDataset(root / "annotations.json", root / "images")


def rewrite(root: Path, **changes: Any) -> None:
    """Changes entries of the annotation file."""
    path = root / "annotations.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
