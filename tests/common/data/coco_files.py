"""Small data sets in COCO's format for the tests, sound and broken."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

WIDTH, HEIGHT = 40, 30
CATEGORIES = [{"id": 7, "name": "cat"}, {"id": 2, "name": "dog"}]


def image(identity: int, **changes: Any) -> dict:
    return {"id": identity, "file_name": f"{identity}.png", "width": WIDTH, "height": HEIGHT} | changes


def annotation(identity: int, image_id: int, **changes: Any) -> dict:
    """A square of 10 x 10 pixels at (5, 5); a field given as None is left out."""
    record = {
        "id": identity,
        "image_id": image_id,
        "category_id": 2,
        "bbox": [5, 5, 10, 10],
        "area": 100,
        "iscrowd": 0,
        "segmentation": [[5, 5, 15, 5, 15, 15, 5, 15]],
    } | changes
    return {name: value for name, value in record.items() if value is not None}


def jpeg_to_be_turned(pixels: np.ndarray, orientation: int) -> bytes:
    """(H, W, 3) BGR as JPEG, with an Exif block that says how to show it: 3 upside down, 6 turned by a quarter."""
    plain = cv2.imencode(".jpg", pixels)[1].tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation]) + b"\0" * 6
    return plain[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + plain[2:]


def write(root: Path, images: list, annotations: list, categories: list | None = None, draw: bool = True) -> Path:
    """ROOT/annotations.json and ROOT/images; each listed image that is as it should be is drawn."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    contents = {
        "images": images,
        "annotations": annotations,
        "categories": CATEGORIES if categories is None else categories,
    }
    (root / "annotations.json").write_text(json.dumps(contents))
    rng = np.random.default_rng(0)
    for record in images if draw else ():
        if isinstance(record, dict) and "file_name" in record:
            pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            cv2.imwrite(str(root / "images" / record["file_name"]), pixels)
    return root
