"""Which class the objects of a class are taken for, by the detections with a score that one would show."""

from collections.abc import Iterable

import numpy as np

from common.evaluation.overlaps import Overlaps, match

IOU = 0.5
SCORE = 0.5


def count_confusions(images: Iterable[Overlaps], classes: int, score: float = SCORE) -> np.ndarray:
    """Counts (K + 1, K + 1): the row is what an object is, the column what it is taken for, the last of each nothing.

    Detections with at least this score are paired with objects that they overlap by an IoU of 0.5 or more: first with
    those of their own class, as COCO's evaluation does, and then, of what is left on both sides, with those of others.
    So the last row has the detections in vain, duplicates among them, and the last column the objects that are missed.
    A detection in a crowd of its class is not counted.
    """
    counts = np.zeros((classes + 1, classes + 1), int)
    for image in images:
        rows = np.flatnonzero(image.scores >= score)
        iou, same, labels = image.iou[rows], image.is_same[rows], image.labels[rows]
        partners = match(np.where(same, iou, 0.0), IOU)
        free = np.ones(len(image.object_labels), bool)
        free[partners[partners >= 0]] = False
        counted = (partners >= 0) | (image.crowd[rows] < IOU)
        strange = (partners < 0) & counted
        partners[strange] = match(np.where(free & ~same, iou, 0.0)[strange], IOU)
        paired = partners >= 0
        free[partners[paired]] = False
        np.add.at(counts, (image.object_labels[partners[paired]], labels[paired]), 1)
        np.add.at(counts, (classes, labels[counted & ~paired]), 1)
        np.add.at(counts, (image.object_labels[free], classes), 1)
    return counts
