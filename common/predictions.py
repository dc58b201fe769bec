"""Predictions on disk: an overlay image, a mask a PNG, arrays, or a COCO results file."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common.errors import UserError
from common.evaluation.coco import coco_results
from common.files import atomic_path
from common.results import Instances
from common.visualize import ALL_PARTS, Parts, draw

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def save_overlay(
    path: Path, image: np.ndarray, instances: Instances, class_names: Sequence[str], parts: Parts = ALL_PARTS
) -> None:
    """The image with what was found drawn onto it; image (H, W, 3) uint8 RGB."""
    write_image(path, draw(image, instances, class_names, parts)[:, :, ::-1])


def save_masks(folder: Path, instances: Instances, class_names: Sequence[str]) -> None:
    """A black and white PNG an instance in `folder`, named by rank, class and score: `000_person_0.97.png`."""
    for rank, (label, score, mask) in enumerate(zip(instances.labels, instances.scores, instances.masks, strict=True)):
        name = re.sub(r"[^\w.-]+", "-", class_names[label])
        write_image(folder / f"{rank:03d}_{name}_{score:.2f}.png", mask.astype(np.uint8) * 255)


def save_arrays(path: Path, instances: Instances, class_names: Sequence[str]) -> None:
    """boxes (xyxy, width x2 - x1), scores, labels, masks (and mask_scores), and the class names of the labels."""
    arrays = {
        "boxes": instances.boxes,
        "scores": instances.scores,
        "labels": instances.labels,
        "masks": instances.masks,
        "class_names": np.array(class_names),
    }
    if instances.mask_scores is not None:
        arrays["mask_scores"] = instances.mask_scores
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def save_coco(path: Path, entries: list[dict[str, Any]]) -> None:
    """A COCO results file."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(entries))


def named_results(
    name: str, number: int, instances: Instances, class_names: Sequence[str], category_ids: Sequence[int]
) -> list[dict[str, Any]]:
    """COCO results with boxes and masks of an image outside any data set.

    Its id is its file's number where the name is one (as COCO's are), else `number`; category_ids are those of the
    class names, and each entry says the file and the class by name too.
    """
    stem = Path(name).stem
    image_id = int(stem) if stem.isdecimal() else number
    boxes = coco_results(image_id, instances, category_ids, "box")
    masks = coco_results(image_id, instances, category_ids, "mask")
    return [
        box | mask | {"file_name": name, "category": class_names[label]}
        for box, mask, label in zip(boxes, masks, instances.labels, strict=True)
    ]


def write_image(path: Path, image: np.ndarray) -> None:
    """(H, W) or (H, W, 3) uint8 in OpenCV's order of channels; the suffix names the format."""
    with atomic_path(path) as temporary:
        try:
            written = cv2.imwrite(str(temporary), image)
        except cv2.error:
            written = False
        if not written:
            raise UserError(f"cannot write an image as {path}; there are {', '.join(IMAGE_SUFFIXES)}")
