"""Chooses a part of a data set's images, the same ones as YOLACT's own evaluation."""

import random
from typing import Literal

import numpy as np

from common.data.coco import CocoDataset

Order = Literal["hashed", "file", "shuffled"]


def choose_images(
    dataset: CocoDataset, count: int | None, order: Order = "hashed", seed: int | None = None
) -> CocoDataset:
    """Returns the data set of the first `count` images in an order; without a count, the data set as it is.

    order: "file" sorts images by their first annotation in the file, "hashed" by a hash of their ids, and "shuffled"
    shuffles the order "file" with Python's `random` and the seed. Images without annotations are left out, unless there
    are no others.
    """
    if count is None:
        return dataset
    positions = dataset.positions_with_annotations()
    if not len(positions):
        positions = np.arange(len(dataset))
    if order == "hashed":
        positions = positions[np.argsort(_hash_ids(dataset.image_ids[positions]), kind="stable")]
    elif order == "shuffled":
        shuffled = positions.tolist()
        random.Random(seed).shuffle(shuffled)
        positions = np.array(shuffled)
    return dataset.select_images(positions[:count])


def _hash_ids(ids: np.ndarray) -> np.ndarray:
    """Hashes integers (N,) to (N,) uint64 below 2**32: twice x = (x ^ x >> 16) * 0x45D9F3B, then x ^ x >> 16."""
    mixed = ids.astype(np.uint64)
    for _ in range(2):
        mixed = ((mixed >> np.uint64(16)) ^ mixed) * np.uint64(0x045D9F3B) & np.uint64(0xFFFFFFFF)
    return (mixed >> np.uint64(16)) ^ mixed
