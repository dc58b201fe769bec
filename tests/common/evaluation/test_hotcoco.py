"""hotcoco against pycocotools, which is the judge: precision, recall and scores are the same to the last bit.

And our kinds of error against hotcoco's.
"""

import contextlib
import copy
import io
import warnings
from typing import Any

import hotcoco
import numpy as np
import pytest
from pycocotools import mask as rle_tools
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from common.evaluation.errors import count_errors
from common.evaluation.overlaps import find_overlaps

SIZE = (120, 160)
# The sides of objects, some of which have areas at a border between small, medium and large.
SIDES = (4, 9, 31, 32, 33, 60, 95, 96, 97)
BORDERS = (1023.9999, 1024.0, 9216.0, 9216.0001)
KINDS = ("bbox", "segm", "keypoints")
HOTCOCO = hotcoco.COCO, hotcoco.COCOeval
ERRORS = {
    "classification": "Cls",
    "localisation": "Loc",
    "both": "Both",
    "duplicate": "Dupe",
    "background": "Bkg",
    "missed": "Miss",
    "false positives": "FP",
    "false negatives": "FN",
}


class Case:
    """A data set and detections: crowds, equal scores, images with no object or no detection, boxes without a side."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)
        self.classes, images = int(self.rng.integers(1, 5)), int(self.rng.integers(3, 12))
        self.annotations, self.found = [], {kind: [] for kind in KINDS}
        for image in range(1, images + 1):
            for _ in range(self.rng.choice([0, 3, 8])):
                self.add_object(image)
            # In some images more detections of a class than the limits allow.
            for _ in range(self.rng.choice([0, 2, 130] if image == 1 else [0, 2])):
                self.detect(image, self.box(0, 1, 9, 40), self.label(), 0.0)
        sizes = [{"id": image, "height": SIZE[0], "width": SIZE[1]} for image in range(1, images + 1)]
        categories = [{"id": label, "name": str(label)} for label in range(1, self.classes + 1)]
        self.truth = {"images": sizes, "categories": categories, "annotations": self.annotations}

    def label(self) -> int:
        return int(self.rng.integers(1, self.classes + 1))

    def box(self, *sides: int) -> np.ndarray:
        width, height = self.rng.choice(sides, 2)
        return np.array(
            [self.rng.integers(SIZE[1] - width + 1), self.rng.integers(SIZE[0] - height + 1), width, height]
        )

    def shapes(self, box: np.ndarray, noise: float) -> dict:
        """The box, a mask that nearly fills it, and key points within, the latter moved by so many pixels."""
        x, y, width, height = box
        mask = np.zeros(SIZE, np.uint8, order="F")
        mask[int(y) : int(y + height), int(x) : int(x + width)] = self.rng.random() < 0.9
        mask[::3] &= self.rng.random() < 0.5
        packed = rle_tools.encode(mask)
        grid = np.linspace(0.1, 0.9, 17)[:, None] * [width, height] + [x, y]
        points = np.column_stack([grid + self.rng.normal(0, noise, (17, 2)), self.rng.integers(0, 3, 17)])
        return {
            "bbox": [float(value) for value in box],
            "segm": {"size": list(SIZE), "counts": packed["counts"].decode()},
            "keypoints": points.ravel().tolist(),
        }

    def add_object(self, image: int) -> None:
        """Adds an object and some detections around it, of which one may be exactly there."""
        box, label = self.box(*SIDES), self.label()
        made = self.shapes(box, 0.0)
        area = float(self.rng.choice([box[2] * box[3], *BORDERS]))
        points = {"keypoints": made["keypoints"], "num_keypoints": int(self.rng.integers(0, 3))}
        ids = {"id": len(self.annotations) + 1, "image_id": image, "category_id": label}
        own = {
            "bbox": made["bbox"],
            "segmentation": made["segm"],
            "area": area,
            "iscrowd": int(self.rng.random() < 0.2),
        }
        self.annotations.append(ids | own | points)
        for noise in self.rng.choice([0.0, 2.0, 5.0], self.rng.integers(0, 4)):
            moved = np.maximum(box + self.rng.normal(0, noise, 4), 0) if noise else box
            self.detect(image, moved, label if self.rng.random() < 0.8 else self.label(), noise)

    def detect(self, image: int, box: np.ndarray, label: int, noise: float) -> None:
        score = float(self.rng.choice([0.9, 0.5, 0.1, self.rng.random()]))
        ids = {"image_id": image, "category_id": label, "score": score}
        for kind, shape in self.shapes(box, noise).items():
            self.found[kind].append(ids | {"segmentation" if kind == "segm" else kind: shape})


def accumulated(tools, case: Case, kind: str, limits, use_classes: bool = True) -> Any:
    """An accumulated evaluation by COCO tools: a class that opens data sets and one that evaluates."""
    coco, evaluate = tools
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        truth = coco(copy.deepcopy(case.truth))
        rated = evaluate(truth, truth.loadRes(copy.deepcopy(case.found[kind])), kind)
        rated.params.maxDets = limits
        rated.params.useCats = int(use_classes)
        rated.evaluate()
        rated.accumulate()
    return rated


def opened(dataset: dict) -> COCO:
    coco = COCO()
    coco.dataset = dataset
    coco.createIndex()
    return coco


@pytest.mark.parametrize(
    ("kind", "limits", "use_classes"),
    [
        ("bbox", [1, 10, 100], True),
        ("segm", [1, 10, 100], True),
        ("keypoints", [20], True),
        ("bbox", [100, 300, 1000], True),
        ("segm", [2, 100, 110], True),
        ("bbox", [1, 10, 100], False),
        ("segm", [1, 10, 100], False),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_the_arrays_are_pycocotools_to_the_last_bit(seed, kind, limits, use_classes):
    case = Case(seed)
    judge = accumulated((opened, COCOeval), case, kind, limits, use_classes).eval
    made = accumulated(HOTCOCO, case, kind, limits, use_classes).eval
    for name in ("precision", "recall", "scores"):
        np.testing.assert_array_equal(np.asarray(made[name]), judge[name], err_msg=name, strict=True)
    # The case says something: much is found, and not all of it is right.
    precision = judge["precision"]
    assert np.ptp(precision[precision > 0]) > 0.1


@pytest.mark.parametrize("shape", ["box", "mask"])
@pytest.mark.parametrize("seed", range(8))
def test_the_kinds_of_error_are_those_of_hotcoco(seed, shape):
    """Without crowds, which hotcoco takes for objects where it looks for the nearest one, and TIDE does not.

    Nor is there an IoU of just 0.5 with an object that has been found: here it makes a duplicate, as the paper says.
    """
    case = Case(seed)
    for each in case.annotations:
        each["iscrowd"] = 0
    for found in case.found.values():  # of equal scores either may be taken for the better one
        for rank, entry in enumerate(found):
            entry["score"] += rank * 1e-6
    kind = {"box": "bbox", "mask": "segm"}[shape]
    expected = accumulated(HOTCOCO, case, kind, [1, 10, 100]).tide_errors()
    ap50, made = count_errors(find_overlaps(case.truth, case.found[kind], shape, 100), case.classes)
    assert ap50 == pytest.approx(100 * expected["ap_base"])
    for name, own in ERRORS.items():
        assert made[name].cost == pytest.approx(100 * expected["delta_ap"][own], abs=1e-6), name
        assert own not in expected["counts"] or made[name].count == expected["counts"][own], name
