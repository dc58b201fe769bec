"""Finds what in a data set cannot be trained on, and says what happens to it in training.

    python -m common.data.check ROOT

exits with 0 when there is something to train on, else with 2.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from common.config import AnnotationFile, DataKind, Settings
from common.data import segmentations
from common.data.coco import CocoDataset, clip_boxes, has_area, locate, open_dataset
from common.data.faults import Fault, collect
from common.data.panoptic import EMPTY_SEGMENTS, STRAY_IDS, PanopticDataset
from common.errors import UserError, run_command
from common.families import families_by_kind
from common.models import load_settings

_BORDER_TOLERANCE = 1.0  # pixels by which rounding may push a box over the border
_IMAGES_PER_BLOCK = 256
_MOST_NAMED = 10  # broken images in one line

# What is found in reading one image: pairs of a fault and the name of what has it.
Findings = list[tuple[str, str]]
# Takes a data set and positions (K,); returns the findings in the images there, by position; none where there are none.
Inspect = Callable[[CocoDataset, np.ndarray], dict[int, Findings]]
BROKEN = "images that cannot be read"
# What training makes of an image that has a fault, by the fault.
_OUTCOMES = {BROKEN: "not to be trained on", STRAY_IDS: "taken as void", EMPTY_SEGMENTS: "trained on as empty"}


@dataclass
class Report:
    """The result of a check."""

    dataset: CocoDataset
    faults: list[Fault]
    usable: np.ndarray  # positions of the images that can be trained on

    def __str__(self) -> str:
        dataset = self.dataset
        head = (
            f"{dataset.annotations}: {len(dataset)} images, {dataset.annotation_count} annotations, "
            f"{len(dataset.class_names)} classes; {len(self.usable)} images to train on"
        )
        return "\n".join([head, *(f"  {fault}" for fault in self.faults)])


def check(
    dataset: CocoDataset,
    images: bool = True,
    masks: bool = True,
    empty_images: bool = False,
    upright: bool = True,
    inspect: Inspect | None = None,
    smallest_side: int = 0,
) -> Report:
    """Checks all annotations of a data set and reads every image.

    images: whether to decode the images, which takes most of the time; masks: whether to read the masks, about half a
    minute for COCO's 860,001, and check single annotations; empty_images: whether images without an object are trained
    on; upright: whether images are turned as their EXIF data says, which matters where the annotations do not tell an
    image's size; inspect: reads the images, where several processes share this work (default: `inspect_images`);
    smallest_side: images with a shorter side, in pixels, are not trained on.
    """
    missing = dataset.missing_images()
    faults = [("images whose file is missing, not trained on", dataset.image_ids[missing].tolist())]
    with_objects = dataset.positions_with_objects()
    if isinstance(dataset, PanopticDataset):
        faults += _check_segments(dataset)
        missing = np.union1d(missing, dataset.untrainable())
    elif masks:
        annotation_faults, with_objects = _check_annotations(dataset, upright)
        faults += annotation_faults
    without = np.setdiff1d(np.arange(len(dataset)), with_objects)
    outcome = "trained on as such" if empty_images else "not trained on"
    faults.append((f"images without an object, {outcome}", dataset.image_ids[without].tolist()))
    small = dataset.small_images(smallest_side)
    sides = f"images with a side of less than {smallest_side} pixels, not trained on"
    faults.append((sides, dataset.image_ids[small].tolist()))
    usable = np.setdiff1d(np.arange(len(dataset)) if empty_images else with_objects, np.union1d(missing, small))
    if images:
        found = (inspect or inspect_images)(dataset, np.setdiff1d(np.arange(len(dataset)), missing))
        named: dict[str, list[str]] = {}
        for fault, name in (each for findings in found.values() for each in findings):
            named.setdefault(fault, []).append(name)
        faults += [(f"{fault}, {_OUTCOMES[fault]}", names) for fault, names in named.items()]
        usable = np.setdiff1d(usable, list(_broken(found)))
    return Report(dataset, dataset.faults + collect(faults), usable)


def rules_of(settings: Settings) -> dict[str, Any]:
    """What `check` asks for of a model: which images it trains on, and how it reads them."""
    return {
        "empty_images": settings.trains_on_empty_images,
        "upright": settings.reads_upright,
        "smallest_side": settings.smallest_trained_side,
    }


def require_images(dataset: CocoDataset, positions: np.ndarray, inspect: Inspect | None = None) -> None:
    """Refuses a data set if an image at one of `positions` (K,) cannot be read, and names those images.

    So it does with one whose panoptic annotation and PNG do not fit, which cannot be rated as they should.
    inspect: as in `check`.
    """
    found = (inspect or inspect_images)(dataset, positions)
    broken, unfit = list(_broken(found).values()), [each for findings in found.values() for each in findings]
    if broken:
        raise UserError(
            f"{dataset.annotations}: {len(broken)} of {len(positions)} images cannot be read: {_join_some(broken)}"
        )
    if unfit:
        fault = unfit[0][0]
        names = [name for other, name in unfit if other == fault]
        raise UserError(f"{dataset.annotations}: {fault}: {_join_some(names)}")


def _join_some(names: list[str]) -> str:
    """The first names, and whether there are more."""
    return "; ".join(names[:_MOST_NAMED]) + ("; ..." if len(names) > _MOST_NAMED else "")


def _broken(found: dict[int, Findings]) -> dict[int, str]:
    """Of what `inspect_images` finds the images that cannot be read: position -> reason."""
    return {place: name for place, findings in found.items() for fault, name in findings if fault == BROKEN}


def _check_segments(dataset: PanopticDataset) -> list[tuple[str, list]]:
    """The faults of a panoptic data set's annotations that show before a PNG is read."""
    bare = np.flatnonzero(dataset.columns["first_annotation"] < 0)
    crowd = np.flatnonzero(dataset.columns["crowd"])
    owner = np.searchsorted(dataset.columns["first"], crowd, side="right") - 1
    missing = [f"image {dataset.image_ids[place]} ({dataset.map_path(place)})" for place in dataset.missing_maps()]
    return [
        ("images without an annotation of their segments, not trained on", dataset.image_ids[bare].tolist()),
        ("images whose PNG of segments is missing, not trained on", missing),
        ("images with a crowd, no target but not held against a prediction", np.unique(dataset.image_ids[owner])),
    ]


def _check_annotations(dataset: CocoDataset, upright: bool) -> tuple[list[tuple[str, list]], np.ndarray]:
    """Finds the annotations' faults, (fault, annotation ids) pairs, and the positions (K,) of images with an object.

    Only an object that can be trained on and is no crowd counts.
    """
    faults: dict[str, list[int]] = {}
    with_objects = []
    for position in tqdm(range(len(dataset)), desc="checking annotations", unit="image", disable=None):
        size = _read_size(dataset, position, upright)
        if size is None:
            continue
        objects = dataset.objects(position, size)
        cut = clip_boxes(objects.boxes, size)
        sound = has_area(cut)
        for row, identity in enumerate(objects.annotation_ids.tolist()):
            for fault in _box_faults(objects.boxes[row], cut[row], sound[row], objects.crowd[row]):
                faults.setdefault(fault, []).append(identity)
            fault = objects.mask_faults[row]
            if fault is not None:
                outcome = _describe_outcome(fault, objects.rles[row])
                faults.setdefault(f"annotations {fault}, {outcome}", []).append(identity)
            if not objects.keypoints_sound[row]:
                faults.setdefault("annotations with unreadable key points, taken as unlabelled", []).append(identity)
            sound[row] &= objects.rles[row] is not None
        if (sound & ~objects.crowd).any():
            with_objects.append(position)
    return list(faults.items()), np.array(with_objects, np.int64)


def _describe_outcome(fault: str, encoded: dict | None) -> str:
    """Says what training does with an annotation whose segmentation has a fault; `encoded` is its RLE, if any."""
    if encoded is None:
        return "left out"
    return "trained on by its box" if fault == segmentations.EMPTY else "that polygon left out"


def _box_faults(box: np.ndarray, cut: np.ndarray, sound: bool, crowd: bool) -> Iterator[str]:
    """Yields the faults of an annotation's box (4,) xyxy, which the image cuts to `cut` (4,)."""
    if crowd:
        yield "annotations of a crowd, no targets but not held against a prediction"
    if not has_area(box[None])[0]:
        yield "annotations with a box without area, left out"
    elif not sound:
        yield "annotations with a box outside the image, left out"
    elif np.abs(box - cut).max() > _BORDER_TOLERANCE:
        yield "annotations with a box across the image's border, cut"


def _read_size(dataset: CocoDataset, position: int, upright: bool) -> tuple[int, int] | None:
    """Reads an image's size (H, W), from the image itself if the annotations do not tell it; None if that fails."""
    size = dataset.image_size(position)
    if 0 not in size:
        return size
    try:
        return dataset.image(position, upright).shape[:2]
    except UserError:
        return None


def inspect_images(dataset: CocoDataset, positions: np.ndarray) -> dict[int, Findings]:
    """Finds the images at `positions` (K,) that cannot be decoded or have another size than the annotations say.

    Of a panoptic data set it reads the segments' PNGs, too.
    """

    def inspect(position: int) -> Findings:
        try:
            size = dataset.image(position).shape[:2]
            return list(dataset.map_faults(position, size)) if isinstance(dataset, PanopticDataset) else []
        except UserError as error:
            return [(BROKEN, str(error))]

    found = {}
    bar = tqdm(total=len(positions), desc="reading images", unit="image", disable=None)
    # Decoding releases Python's lock, so threads can share the work. Blocks let Ctrl-C take effect soon.
    with bar, ThreadPoolExecutor(os.cpu_count()) as pool:
        for begin in range(0, len(positions), _IMAGES_PER_BLOCK):
            block = positions[begin : begin + _IMAGES_PER_BLOCK].tolist()
            results = zip(block, pool.map(inspect, block), strict=True)
            found |= {position: findings for position, findings in results if findings}
            bar.update(len(block))
    return found


def _open_splits(
    root: Path, splits: tuple[str, ...], kind: DataKind, published: tuple[AnnotationFile, ...]
) -> Iterator[CocoDataset]:
    """Opens the splits that exist, each annotation file once; it is an error if none exists."""
    seen, first_error = set(), None
    for split in splits:
        try:
            annotations, images = locate(root, split, kind, published)
        except UserError as error:
            first_error = first_error or error
            continue
        if annotations not in seen:
            seen.add(annotations)
            yield open_dataset(annotations, images, kind)
    if not seen:
        raise first_error


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m common.data.check",
        description="Counts and names what in a data set in COCO's format cannot be trained on.",
        epilog="example: python -m common.data.check datasets/coco --split train --no-images",
    )
    # A family's files are its own to name: this command looks for the same ones as the family's models do.
    kinds = families_by_kind()
    parser.add_argument("root", type=Path, metavar="ROOT", help="the folder with annotations and images")
    parser.add_argument("--split", choices=("train", "val"), help="only this one (default: each that is there)")
    parser.add_argument("--kind", choices=sorted(kinds), default="instances")
    parser.add_argument("--model", help="say what this model trains on, which may be more or less than others do")
    parser.add_argument("--no-images", action="store_true", help="do not decode the images, which takes the most time")
    arguments = parser.parse_args()
    splits = (arguments.split,) if arguments.split else ("train", "val")
    settings = load_settings(arguments.model) if arguments.model else None
    kind = settings.data_kind if settings else arguments.kind
    published = kinds[kind].settings.data_kinds[kind]
    usable = True
    for dataset in _open_splits(arguments.root, splits, kind, published):
        report = check(dataset, images=not arguments.no_images, **(rules_of(settings) if settings else {}))
        print(report, flush=True)
        usable = usable and len(report.usable) > 0
    if not usable:
        raise UserError(f"{arguments.root}: there is a split with nothing to train on")


if __name__ == "__main__":
    run_command(main)
