"""The kinds of error that keep the average precision low, and what each of them costs (TIDE, Bolya et al., 2020).

A detection is right that is so at an IoU of 0.5, as COCO's AP50 has it. Every other one is wrong in one way, by its
largest IoU with objects of its class and with those of others:

- localisation: with an object of its class, 0.1 or more, and less than 0.5;
- classification: with an object of another class, 0.5 or more;
- duplicate: with an object of its class that a better detection has found, 0.5 or more;
- background: with any object, less than 0.1;
- both: what is left, with an object of another class, 0.1 or more, and less than 0.5.

The first that fits counts, in the order in which TIDE's own code asks. Objects that are not found, and to which no
error of localisation or classification points, are missed.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from common.evaluation.overlaps import Overlaps, match

FOUND = 0.5
NEAR = 0.1

KINDS = {
    "classification": "well placed, but of the wrong class",
    "localisation": "of the right class, but ill placed (IoU 0.1 to 0.5)",
    "both": "of the wrong class, and ill placed",
    "duplicate": "of an object that a better detection has found",
    "background": "where no object is (IoU below 0.1)",
    "missed": "objects that no detection comes near to",
    "false positives": "all wrong detections together",
    "false negatives": "all objects that are not found together",
}
_RIGHT, _CLASSIFICATION, _LOCALISATION, _BOTH, _DUPLICATE, _BACKGROUND = range(6)
_REMOVED = -1
_RECALLS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class Cost:
    """How often a kind of error occurs, and by how many points of percent AP50 would rise without it."""

    count: int
    cost: float


@dataclass(frozen=True)
class _Verdicts:
    """The verdicts over the D detections that count, and over the objects, of one image or of many.

    labels, scores, kinds (D,): a detection's label, score, and what is wrong. repaired (D,): the label that a detection
    has, as a right one, once its error is mended; -1 where it has to go. objects, missed, unfound (K,): the number of
    objects of each class.
    """

    labels: np.ndarray
    scores: np.ndarray
    kinds: np.ndarray
    repaired: np.ndarray
    objects: np.ndarray
    missed: np.ndarray
    unfound: np.ndarray

    def ap(
        self, chosen: np.ndarray | None = None, objects: np.ndarray | None = None, removed: np.ndarray | None = None
    ) -> float:
        """The mean AP50 of the classes with objects, 0 to 1; NaN without any.

        A class that has lost all its objects has an AP of 0 where anything is found of it, and is left out else.

        chosen (D,) bool: detections whose error is mended. objects (K,): where fewer count. removed (D,) bool: left
        out.
        """
        chosen = np.zeros(len(self.kinds), bool) if chosen is None else chosen
        objects = self.objects if objects is None else objects
        correct = (self.kinds == _RIGHT) | (chosen & (self.repaired != _REMOVED))
        keep = ~(chosen & (self.repaired == _REMOVED))
        if removed is not None:
            keep &= ~removed
        labels = np.where(chosen & correct, self.repaired, self.labels)
        values = []
        for label in np.flatnonzero(self.objects > 0):
            own = keep & (labels == label)
            if objects[label] > 0:
                values.append(average_precision(self.scores[own], correct[own], int(objects[label])))
            elif own.any():
                values.append(0.0)
        return float(np.mean(values)) if values else float("nan")


def average_precision(scores: np.ndarray, correct: np.ndarray, objects: int) -> float:
    """The area below precision over recall, read at 101 recalls as COCO's evaluation does.

    scores (N,) and correct (N,) bool: of the detections of one class; objects: how many there are, one at least.
    """
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(correct[order]).astype(float)
    precision = right / (np.arange(1, len(order) + 1) + np.spacing(1))
    # What is gained at a higher recall counts at the lower ones.
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    first = np.searchsorted(right / objects, _RECALLS, side="left")
    return float(np.append(precision, 0.0)[np.minimum(first, len(precision))].mean())


def count_errors(images: Iterable[Overlaps], classes: int) -> tuple[float, dict[str, Cost]]:
    """AP50 in percent, over the classes with objects, and the errors by the names of `KINDS`; NaN without objects.

    The cost of a kind is what AP50 gains when all errors of this kind alone are mended, and never below 0. A detection
    that is ill placed or of the wrong class becomes right if it is the best one that points to an object which is not
    found; else, and where it is wrong in another way, it goes. A missed object is not counted as an object.
    """
    verdicts = _join([_judge(image, classes) for image in images], classes)
    ap = verdicts.ap()
    wrong = verdicts.kinds != _RIGHT
    numbered = {name: number for number, name in enumerate(KINDS, start=1) if number <= _BACKGROUND}
    rows = {
        name: (int((verdicts.kinds == number).sum()), verdicts.ap(verdicts.kinds == number))
        for name, number in numbered.items()
    }
    rows["missed"] = int(verdicts.missed.sum()), verdicts.ap(objects=verdicts.objects - verdicts.missed)
    rows["false positives"] = int(wrong.sum()), verdicts.ap(removed=wrong)
    rows["false negatives"] = int(verdicts.unfound.sum()), verdicts.ap(objects=verdicts.objects - verdicts.unfound)
    # Where all that there is was missed, nothing is left to find.
    better = {name: 1.0 if np.isnan(value) else value for name, (_, value) in rows.items()}
    return 100 * ap, {name: Cost(count, 100 * max(0.0, better[name] - ap)) for name, (count, _) in rows.items()}


def _judge(image: Overlaps, classes: int) -> _Verdicts:
    """What is wrong with each detection of an image, and which objects are missed."""
    same = image.is_same
    own, other = np.where(same, image.iou, 0.0), np.where(same, 0.0, image.iou)
    partners = match(own, FOUND)
    right = partners >= 0
    found = np.zeros(len(image.object_labels), bool)
    found[partners[right]] = True
    best_own, best_other = own.max(axis=1, initial=0.0), other.max(axis=1, initial=0.0)
    kinds = np.select(
        [right, (best_own >= NEAR) & (best_own < FOUND), best_other >= FOUND, best_own >= FOUND, best_other < NEAR],
        [_RIGHT, _LOCALISATION, _CLASSIFICATION, _DUPLICATE, _BACKGROUND],
        _BOTH,
    )
    # A detection that is not right counts for nothing where it lies in a crowd.
    counted = right | (image.crowd < FOUND)
    repaired, pointed = np.full(len(kinds), _REMOVED), np.zeros(len(found), bool)
    for row in np.flatnonzero(counted & np.isin(kinds, (_LOCALISATION, _CLASSIFICATION))):
        target = (own if kinds[row] == _LOCALISATION else other)[row].argmax()
        if not found[target] and not pointed[target]:
            repaired[row], pointed[target] = image.object_labels[target], True
    numbers = (
        np.bincount(image.object_labels[chosen], minlength=classes)
        for chosen in (np.ones(len(found), bool), ~found & ~pointed, ~found)
    )
    return _Verdicts(*(each[counted] for each in (image.labels, image.scores, kinds, repaired)), *numbers)


def _join(parts: list[_Verdicts], classes: int) -> _Verdicts:
    """The verdicts of all images."""
    joined = {
        name: np.concatenate([np.zeros(0, kind), *(getattr(part, name) for part in parts)])
        for name, kind in (("labels", int), ("scores", float), ("kinds", int), ("repaired", int))
    }
    sums = {
        name: sum((getattr(part, name) for part in parts), np.zeros(classes, int))
        for name in ("objects", "missed", "unfound")
    }
    return _Verdicts(**joined, **sums)
