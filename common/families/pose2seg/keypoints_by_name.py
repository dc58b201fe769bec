"""Key points for images that stand in no data set, told by the images' file names."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from common.data.coco import CocoDataset
from common.errors import UserError
from common.families.pose2seg.keypoint_results import KeypointResults
from common.families.pose2seg.samples import annotated, check_persons, person_rows
from common.files import existing_file

# A file name -> its persons: key points (P, 17, 3) x, y, visibility, and scores (P,).
Keypoints = Callable[[str], tuple[np.ndarray, np.ndarray]]


def keypoints_by_name(path: str | os.PathLike, names: Sequence[str], confidence: float) -> Keypoints:
    """Reads the key points of images called `names` from a results file or an annotation file in COCO's format.

    A results file knows image ids alone: that of 000000000785.jpg is 785, and a file of one image serves for one.
    An image that the file does not speak of has no persons, but at least one must be there.
    """
    path = existing_file(path, "key points")
    with path.open("rb") as file:
        is_annotations = file.read(64).lstrip().startswith(b"{")
    known = _annotated(path) if is_annotations else _results(path, names, confidence)
    found = [name for name in names if known(name) is not None]
    if not found:
        raise UserError(f"{path}: no key points for {names[0]}" + (f" or {len(names) - 1} others" if names[1:] else ""))
    nobody = np.zeros((0, 17, 3), np.float32), np.zeros(0, np.float32)
    return lambda name: known(name) or nobody


def _results(path: Path, names: Sequence[str], confidence: float) -> Callable[[str], tuple | None]:
    results = KeypointResults(path, confidence)
    alone = len(names) == 1 and len(results.image_ids) == 1

    def find(name: str) -> tuple | None:
        stem = Path(name).stem
        image_id = results.image_ids[0] if alone else int(stem) if stem.isdecimal() else -1
        return results.of_image(image_id) if image_id in results.image_ids else None

    return find


def _annotated(path: Path) -> Callable[[str], tuple | None]:
    dataset = CocoDataset(path, path.parent)
    check_persons(dataset)
    positions = {Path(dataset.file_name(position)).name: position for position in range(len(dataset))}

    def find(name: str) -> tuple | None:
        position = positions.get(name)
        if position is None:
            return None
        objects = dataset.objects(position, masks=False)
        rows = person_rows(objects, dataset.image_size(position), dataset.keypoint_label)
        return annotated(objects, rows), np.ones(len(rows), np.float32)

    return find
