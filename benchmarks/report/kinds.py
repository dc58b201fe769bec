"""Says of each object that a model finds in an image whether it is right, and if not, what is wrong with it.

An object is held against the annotated ones by the IoU of their masks, the best score first:

- correct: it covers an object of its class (IoU of 0.5 at least) that no better one covers.
- duplicate: it covers an object of its class that a better one covers already.
- wrong class: it covers an object of another class, and none of its own.
- badly placed: it touches an object of its class (IoU from 0.1 to 0.5).
- crowd: half of it lies in what is annotated as a crowd; this is no error.
- background: everything else.

An annotated object that no correct one covers is missed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as rle_tools

CORRECT, MISSED = "correct", "missed"
KINDS = (CORRECT, "wrong class", "badly placed", "duplicate", "background", MISSED, "crowd")
COVERS = 0.5
TOUCHES = 0.1


@dataclass(frozen=True)
class Annotated:
    """An object of the ground truth: its class's position in the list of names, and its mask as pycocotools' RLE."""

    label: int
    mask: dict
    crowd: bool = False


@dataclass(frozen=True)
class Found:
    """An object that a model finds: its class's position in the list of names, its score, and its mask as an RLE."""

    label: int
    score: float
    mask: dict


def judge(annotated: Sequence[Annotated], found: Sequence[Found]) -> tuple[list[str], list[float | None]]:
    """The kind of each object that is found, and for each annotated one the score of that which covers it correctly.

    found: the best score first. The score is None for an object that none covers. With a threshold on scores nothing
    else changes: what is better is judged first.
    """
    covered: list[float | None] = [None] * len(annotated)
    if not annotated:
        return ["background"] * len(found), covered
    crowd = [each.crowd for each in annotated]
    labels = np.array([each.label for each in annotated])
    kinds = []
    for each in found:
        # For a crowd pycocotools divides by the object's own area.
        overlaps = rle_tools.iou([each.mask], [one.mask for one in annotated], crowd)[0]
        kind, place = _kind(overlaps, labels == each.label, np.array(crowd), covered)
        if kind == CORRECT:
            covered[place] = each.score
        kinds.append(kind)
    return kinds, covered


def _kind(
    overlaps: np.ndarray, same_class: np.ndarray, crowd: np.ndarray, covered: Sequence[float | None]
) -> tuple[str, int]:
    """The kind of one object, and the annotated object that decides it.

    overlaps (N,), same_class (N,) bool, crowd (N,) bool and covered: of the annotated objects.
    """
    free = np.array([score is None for score in covered])
    rules = (
        (CORRECT, same_class & free & ~crowd, COVERS),
        ("duplicate", same_class & ~crowd, COVERS),
        ("crowd", same_class & crowd, COVERS),
        ("wrong class", ~same_class & ~crowd, COVERS),
        ("badly placed", same_class & ~crowd, TOUCHES),
    )
    for kind, fits, least in rules:
        place = int(np.where(fits, overlaps, -1.0).argmax())
        if fits[place] and overlaps[place] >= least:
            return kind, place
    return "background", -1
