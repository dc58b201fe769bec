"""A part of a data set's images, the same ones that YOLACT's own evaluation takes."""

import random
from typing import Literal

import numpy as np

from common.data.coco import CocoDataset

Order = Literal["hashed", "file", "shuffled"]


def chosen_images(
    dataset: CocoDataset, count: int | None, order: Order = "hashed", seed: int | None = None
) -> CocoDataset:
    """The first `count` images in an order; without a count, the data set as it is.

    It is the order of their first annotations in the file, of a hash of their ids, or the first of these as Python's
    `random` shuffles it. Images without annotations are not taken, unless there are no others.
    """
    if count is None:
        return dataset
    positions = dataset.annotated()
    if not len(positions):
        positions = np.arange(len(dataset))
    if order == "hashed":
        positions = positions[np.argsort(_hashes(dataset.image_ids[positions]), kind="stable")]
    elif order == "shuffled":
        shuffled = positions.tolist()
        random.Random(seed).shuffle(shuffled)
        positions = np.array(shuffled)
    return dataset.only(positions[:count])


def _hashes(numbers: np.ndarray) -> np.ndarray:
    """(N,) integers -> (N,) uint64 below 2**32: twice xor the upper half and times a constant; then xor once more."""
    mixed = numbers.astype(np.uint64)
    for _ in range(2):
        mixed = ((mixed >> np.uint64(16)) ^ mixed) * np.uint64(0x045D9F3B) & np.uint64(0xFFFFFFFF)
    return (mixed >> np.uint64(16)) ^ mixed
