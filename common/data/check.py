"""Looks through a data set for what cannot be trained on, and says what becomes of it.

    python -m common.data.check ROOT

exits with 0 when there is something to train on, else with 2.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from common.config import AnnotationFile
from common.data import segmentations
from common.data.coco import CocoDataset, clipped, has_area, locate
from common.data.faults import Fault, collect
from common.errors import UserError, run_command
from common.families import family_records

_BORDER = 1.0  # pixels by which rounding may push a box over the border
_BLOCK = 256  # images
_NAMED = 10  # broken images in one line


# A data set and positions (K,) -> of each image among them that cannot be read its position and why.
FindBroken = Callable[[CocoDataset, np.ndarray], dict[int, str]]


@dataclass
class Report:
    """What a check has found."""

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
    broken_images: FindBroken | None = None,
) -> Report:
    """Goes through all annotations, and decodes every image unless told not to.

    With `empty_images` those without an object are to be trained on, as of Mask R-CNN; `upright`: images are read as
    their EXIF data says, which counts where the annotations do not tell an image's size. broken_images(dataset,
    positions): which images cannot be read, and why, where several processes share the work; if not given it is done
    here.

    The time goes into decoding the images; drawing the masks takes about half a minute for COCO's 860,001. Without
    `masks` only what the columns tell is checked, which takes a second.
    """
    missing = dataset.missing_images()
    found = [("images whose file is missing, not trained on", dataset.image_ids[missing].tolist())]
    with_objects = dataset.positions_with_objects()
    if masks:
        annotation_faults, with_objects = _check_annotations(dataset, upright)
        found += annotation_faults
    without = np.setdiff1d(np.arange(len(dataset)), with_objects)
    what = "trained on as such" if empty_images else "not trained on"
    found.append((f"images without an object, {what}", dataset.image_ids[without].tolist()))
    usable = np.setdiff1d(np.arange(len(dataset)) if empty_images else with_objects, missing)
    if images:
        broken = (broken_images or find_broken)(dataset, np.setdiff1d(np.arange(len(dataset)), missing))
        found.append(("images that cannot be read, not to be trained on", list(broken.values())))
        usable = np.setdiff1d(usable, list(broken))
    return Report(dataset, dataset.faults + collect(found), usable)


def require_images(dataset: CocoDataset, positions: np.ndarray, broken_images: FindBroken | None = None) -> None:
    """Refuses a data set of whose images at `positions` one is missing or cannot be decoded, and names them.

    broken_images: as in `check`.
    """
    broken = list((broken_images or find_broken)(dataset, positions).values())
    if broken:
        named = "; ".join(broken[:_NAMED]) + ("; ..." if len(broken) > _NAMED else "")
        raise UserError(f"{dataset.annotations}: {len(broken)} of {len(positions)} images cannot be read: {named}")


def _check_annotations(dataset: CocoDataset, upright: bool) -> tuple[list[tuple[str, list]], np.ndarray]:
    """What is wrong with single annotations, and the images that keep an object which is no crowd."""
    found: dict[str, list[int]] = {}
    with_objects = []
    for position in tqdm(range(len(dataset)), desc="checking annotations", unit="image", disable=None):
        size = _size(dataset, position, upright)
        if size is None:
            continue
        objects = dataset.objects(position, size)
        cut = clipped(objects.boxes, size)
        sound = has_area(cut)
        for row, identity in enumerate(objects.annotation_ids.tolist()):
            for what in _annotation_faults(objects.boxes[row], cut[row], sound[row], objects.crowd[row]):
                found.setdefault(what, []).append(identity)
            fault = objects.mask_faults[row]
            if fault is not None:
                outcome = _outcome(fault, objects.rles[row])
                found.setdefault(f"annotations {fault}, {outcome}", []).append(identity)
            if not objects.keypoints_sound[row]:
                found.setdefault("annotations with unreadable key points, taken as unlabelled", []).append(identity)
            sound[row] &= objects.rles[row] is not None
        if (sound & ~objects.crowd).any():
            with_objects.append(position)
    return list(found.items()), np.array(with_objects, np.int64)


def _outcome(fault: str, packed: dict | None) -> str:
    """What becomes of an annotation whose segmentation has a fault."""
    if packed is None:
        return "left out"
    return "trained on by its box" if fault == segmentations.EMPTY else "that polygon left out"


def _annotation_faults(box: np.ndarray, cut: np.ndarray, sound: bool, crowd: bool) -> Iterator[str]:
    if crowd:
        yield "annotations of a crowd, no targets but not held against a prediction"
    if not has_area(box[None])[0]:
        yield "annotations with a box without area, left out"
    elif not sound:
        yield "annotations with a box outside the image, left out"
    elif np.abs(box - cut).max() > _BORDER:
        yield "annotations with a box across the image's border, cut"


def _size(dataset: CocoDataset, position: int, upright: bool) -> tuple[int, int] | None:
    """The image's size, from the image itself where the annotations do not tell it."""
    size = dataset.image_size(position)
    if 0 not in size:
        return size
    try:
        return dataset.image(position, upright).shape[:2]
    except UserError:
        return None


def find_broken(dataset: CocoDataset, positions: np.ndarray) -> dict[int, str]:
    """What is wrong with each image that cannot be decoded or has another size than the annotations say."""

    def reason(position: int) -> str | None:
        try:
            dataset.image(position)
        except UserError as error:
            return str(error)
        return None

    broken = {}
    bar = tqdm(total=len(positions), desc="reading images", unit="image", disable=None)
    # Decoding leaves Python's lock, so threads share the work; by blocks, so that Ctrl-C has not all of it to wait for.
    with bar, ThreadPoolExecutor(os.cpu_count()) as pool:
        for begin in range(0, len(positions), _BLOCK):
            block = positions[begin : begin + _BLOCK].tolist()
            reasons = zip(block, pool.map(reason, block), strict=True)
            broken |= {position: why for position, why in reasons if why is not None}
            bar.update(len(block))
    return broken


def _datasets(
    root: Path, splits: tuple[str, ...], kind: str, published: tuple[AnnotationFile, ...]
) -> Iterator[CocoDataset]:
    """The splits that are there, each annotation file once; an error when there is none."""
    seen, absent = set(), None
    for split in splits:
        try:
            annotations, images = locate(root, split, kind, published)
        except UserError as error:
            absent = absent or error
            continue
        if annotations not in seen:
            seen.add(annotations)
            yield CocoDataset(annotations, images)
    if not seen:
        raise absent


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m common.data.check",
        description="Counts and names what in a data set in COCO's format cannot be trained on.",
        epilog="example: python -m common.data.check datasets/coco --split train --no-images",
    )
    # A family's files are its own to name: this command looks for the same ones as the family's models do.
    kinds = {family.settings.data_kind: family.settings.data_files for family in family_records()}
    parser.add_argument("root", type=Path, metavar="ROOT", help="the folder with annotations and images")
    parser.add_argument("--split", choices=("train", "val"), help="only this one (default: each that is there)")
    parser.add_argument("--kind", choices=sorted(kinds), default="instances")
    parser.add_argument("--no-images", action="store_true", help="do not decode the images, which takes the most time")
    arguments = parser.parse_args()
    splits = (arguments.split,) if arguments.split else ("train", "val")
    usable = True
    for dataset in _datasets(arguments.root, splits, arguments.kind, kinds[arguments.kind]):
        report = check(dataset, images=not arguments.no_images)
        print(report, flush=True)
        usable = usable and len(report.usable) > 0
    if not usable:
        raise UserError(f"{arguments.root}: there is a split with nothing to train on")


if __name__ == "__main__":
    run_command(main)
