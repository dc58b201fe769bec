"""Converts the annotation file of OCHuman (occluded humans) to key-point files in COCO's format.

    python -m common.families.pose2seg.ochuman IN OUT

IN is ochuman.json, or the folder that holds it. The files are OUT/ochuman_coco_format_val_range_0.00_1.00.json and the
same for test. If OUT is ROOT/annotations and the images lie in ROOT/images, ROOT is a data set.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from pycocotools import mask as rle

from common.data.figures import KEYPOINT_NAMES, SKELETON
from common.errors import UserError, run_command
from common.files import atomic_path, existing_file

# The first so many images that have a person with key points and a mask are for validation, the others for testing.
VAL_IMAGES = 2500

# COCO's visibility by OCHuman's: 0 missing, 1 seen, 2 hidden by the person itself, 3 hidden by another.
_VISIBILITY = {0: 0, 1: 2, 2: 2, 3: 1}


class _Segments(msgspec.Struct):
    height: int
    width: int
    outer: list[list[float]] = []
    inner: list[list[float]] = []


class _Person(msgspec.Struct):
    bbox: tuple[float, float, float, float]  # xyxy
    max_iou: float  # the highest IoU of its box with another person's
    keypoints: list[float] | None = None
    segms: _Segments | None = None


class _Image(msgspec.Struct):
    file_name: str
    width: int
    height: int
    annotations: list[_Person] = []


class _File(msgspec.Struct):
    keypoint_names: list[str]
    images: list[_Image]


def convert(source: Path, low: float = 0.0, high: float = 1.0) -> dict[str, dict[str, Any]]:
    """Converts OCHuman's annotations: returns the content of each split's file in COCO's format, by the split's name.

    A file has the persons with key points and a mask whose `max_iou` is in [low, high). As in the published files, ids
    count from 1 in each split, and images without such a person are left out.
    """
    whole = _read_annotations(source)
    missing = set(KEYPOINT_NAMES) - set(whole.keypoint_names)
    if missing:
        raise UserError(f"{source}: there is no key point {min(missing)}")
    order = [whole.keypoint_names.index(name) for name in KEYPOINT_NAMES]
    complete = [
        (image, persons)
        for image in whole.images
        if (persons := [p for p in image.annotations if p.keypoints and p.segms])
    ]
    splits = {"val": complete[:VAL_IMAGES], "test": complete[VAL_IMAGES:]}
    return {split: _make_split(images, order, (low, high), source) for split, images in splits.items()}


def _read_annotations(source: Path) -> _File:
    try:
        return msgspec.json.decode(source.read_bytes(), type=_File)
    except msgspec.ValidationError as error:
        raise UserError(f"{source}: not OCHuman's own annotation file: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{source}: not valid JSON: {error}") from None


def _make_split(
    images: list[tuple[_Image, list[_Person]]], order: list[int], bounds: tuple[float, float], source: Path
) -> dict[str, Any]:
    """Makes the content of a split's file; `order` (17,) gives the place in OCHuman's key points of each of COCO's."""
    records: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image, persons in images:
        occluded = [person for person in persons if bounds[0] <= person.max_iou < bounds[1]]
        if not occluded:
            continue
        image_id = len(records) + 1
        size = {"height": image.height, "width": image.width}
        records.append({"id": image_id, "file_name": image.file_name} | size)
        for person in occluded:
            try:
                annotation = _convert_person(person, order)
            except ValueError as error:
                raise UserError(f"{source}: {image.file_name}: {error}") from None
            annotations.append({"id": len(annotations) + 1, "image_id": image_id} | annotation)
    category = {"supercategory": "person", "id": 1, "name": "person"}
    category |= {"keypoints": list(KEYPOINT_NAMES), "skeleton": [list(pair) for pair in SKELETON]}
    return {"images": records, "annotations": annotations, "categories": [category]}


def _convert_person(person: _Person, order: list[int]) -> dict[str, Any]:
    """Converts a person to an annotation in COCO's format, still without ids."""
    x1, y1, x2, y2 = person.bbox
    if len(person.keypoints) < 3 * (max(order) + 1):
        raise ValueError(f"a person has {len(person.keypoints)} key-point numbers")
    points: list[float] = []
    for index in order:
        x, y, visibility = person.keypoints[3 * index : 3 * index + 3]
        if visibility not in _VISIBILITY:
            raise ValueError(f"a key point has the unknown visibility {visibility:g}")
        points += [x, y, _VISIBILITY[visibility]]
    return {
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": (x2 - x1) * (y2 - y1),  # the box's, not the mask's
        "num_keypoints": sum(visibility > 0 for visibility in points[2::3]),
        "keypoints": points,
        "segmentation": _encode_mask(person.segms),
    }


def _encode_mask(segments: _Segments) -> dict[str, Any]:
    """Encodes the outer polygons without the inner ones as a packed RLE."""
    size = segments.height, segments.width
    mask = _draw_polygons(segments.outer, size)
    mask[_draw_polygons(segments.inner, size) > 0] = 0
    packed = rle.encode(np.asfortranarray(mask))
    return {"size": list(size), "counts": packed["counts"].decode("ascii")}


def _draw_polygons(polygons: list[list[float]], size: tuple[int, int]) -> np.ndarray:
    """Draws the union of polygons as a mask (H, W) uint8; a polygon of fewer than three points is left out."""
    usable = [polygon for polygon in polygons if len(polygon) >= 6]
    return rle.decode(rle.merge(rle.frPyObjects(usable, *size))) if usable else np.zeros(size, np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m common.families.pose2seg.ochuman",
        description="Makes OCHuman's key-point files in COCO's format, val and test, from its own annotation file.",
        epilog="example: python -m common.families.pose2seg.ochuman ochuman.json datasets/OCHuman/annotations",
    )
    parser.add_argument("source", type=Path, metavar="IN", help="ochuman.json, or the folder that holds it")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write into")
    parser.add_argument(
        "--max-iou",
        type=float,
        nargs=2,
        default=(0.0, 1.0),
        metavar=("LOW", "HIGH"),
        help="persons whose box overlaps another's so much, HIGH not (moderate 0.5 0.75, hard 0.75 1; default all)",
    )
    arguments = parser.parse_args()
    source = arguments.source / "ochuman.json" if arguments.source.is_dir() else arguments.source
    low, high = arguments.max_iou
    for split, content in convert(existing_file(source, "OCHuman's annotations"), low, high).items():
        if not content["images"]:
            print(f"{split}: no image, nothing written")
            continue
        path = arguments.out / f"ochuman_coco_format_{split}_range_{low:.2f}_{high:.2f}.json"
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(content))
        print(f"{split}: {len(content['annotations'])} persons in {len(content['images'])} images, written: {path}")


if __name__ == "__main__":
    run_command(main)
