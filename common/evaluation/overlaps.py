"""How far an image's detections overlap its objects, of whatever class, and which of them belong together."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as rle_tools

# The field of a COCO record that tells the shape.
FIELDS = {"box": "bbox", "mask": "segmentation"}


@dataclass(frozen=True)
class Overlaps:
    """The D detections of an image, best score first, beside its G objects; crowds are no objects.

    labels (D,) and scores (D,): of the detections. object_labels (G,): of the objects. iou (D, G): of each detection
    with each object. crowd (D,): the largest share of a detection that lies in one crowd of its class.
    """

    labels: np.ndarray
    scores: np.ndarray
    object_labels: np.ndarray
    iou: np.ndarray
    crowd: np.ndarray

    @property
    def is_same(self) -> np.ndarray:
        """(D, G) bool: whether a detection and an object have the same class."""
        return self.labels[:, None] == self.object_labels


def find_overlaps(truth: dict[str, Any], found: list[dict[str, Any]], shape: str, limit: int) -> Iterator[Overlaps]:
    """The overlaps in each image, in the order of the images' ids.

    truth: a data set as COCO's tools take it, whose categories' ids are the labels plus 1. found: entries of a results
    file with the same ids. shape: "box" or "mask". limit: so many detections of an image and a class count, at most.
    """
    field = FIELDS[shape]
    annotated, detected = (_by_image(records) for records in (truth["annotations"], found))
    for image_id in sorted(image["id"] for image in truth["images"]):
        yield _overlaps_of(annotated[image_id], _best(detected[image_id], limit), field)


def match(iou: np.ndarray, threshold: float) -> np.ndarray:
    """Gives each detection its object, as COCO's evaluation does: (D, G) -> (D,), -1 for one without an object.

    In their order, each takes the object that it overlaps most, of those with at least this overlap that no detection
    before it has taken; among equals the last.
    """
    partners = np.full(len(iou), -1)
    free = np.ones(iou.shape[1], bool)
    for row in np.flatnonzero((iou >= threshold).any(axis=1)):
        left = np.where(free, iou[row], -1.0)
        best = len(left) - 1 - int(left[::-1].argmax())
        if left[best] >= threshold:
            partners[row], free[best] = best, False
    return partners


def _by_image(records: list[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    grouped: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        grouped[record["image_id"]].append(record)
    return grouped


def _best(records: list[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    """An image's detections, best score first, with `limit` of each class at most; the first wins among equals."""
    counts: dict[int, int] = defaultdict(int)
    kept = []
    for record in sorted(records, key=lambda each: -each["score"]):
        counts[record["category_id"]] += 1
        if counts[record["category_id"]] <= limit:
            kept.append(record)
    return kept


def _overlaps_of(annotated: list[dict[str, Any]], detected: list[dict[str, Any]], field: str) -> Overlaps:
    annotated = sorted(annotated, key=lambda each: each["iscrowd"])
    labels, annotated_labels = (
        np.array([each["category_id"] - 1 for each in records], int) for records in (detected, annotated)
    )
    is_crowd = np.array([bool(each["iscrowd"]) for each in annotated], bool)
    shares = np.zeros((len(detected), len(annotated)))
    if shares.size:
        sides = ([each[field] for each in records] for records in (detected, annotated))
        shares = np.asarray(rle_tools.iou(*sides, is_crowd.astype(int).tolist()))
    in_crowd = shares[:, is_crowd] * (labels[:, None] == annotated_labels[is_crowd])
    return Overlaps(
        labels=labels,
        scores=np.array([each["score"] for each in detected], float),
        object_labels=annotated_labels[~is_crowd],
        iou=shares[:, ~is_crowd],
        crowd=in_crowd.max(axis=1, initial=0.0),
    )
