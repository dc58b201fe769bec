"""An evaluation with everything that a page can show."""

import numpy as np

from common.evaluation.breakdown import Breakdown, Confusion
from common.evaluation.errors import KINDS, Cost
from common.pages.evaluation import Evaluation

NAMES = ["person", "traffic light", "dining table with a long name", "<b>dog</b>", *(f"thing {n}" for n in range(12))]
MEANINGS = {"objects": "number of objects", "AP": "average precision", "AP50": "average precision, IoU 0.50"}


def instances(rng: np.random.Generator) -> Breakdown:
    count = len(NAMES)
    counts = rng.poisson(0.3, (count + 1, count + 1)) + np.diag([*rng.poisson(20, count), 0])
    counts[-1, -1] = 0
    counts[0, 1] = 9
    classes = {name: {"objects": rank * 7, "AP": 9.5 * rank + 0.25, "AP50": 50.0} for rank, name in enumerate(NAMES)}
    classes["person"] |= {"AP": float("nan")}
    recall = np.linspace(0, 1, 101)
    curves = {
        f"{iou:.2f}": (100 * (1 - recall ** (5 - 4 * iou)) * (1.3 - iou)).tolist() for iou in np.arange(0.5, 1, 0.05)
    }
    errors = {name: Cost(3 * rank, 2.5 * rank) for rank, name in enumerate(KINDS)}
    table = Confusion([*NAMES, "nothing"], counts.tolist(), 0.5, 0.5)
    return Breakdown(MEANINGS, classes, 61.2, errors, table, curves)


def made_up_evaluation() -> Evaluation:
    rng = np.random.default_rng(0)
    facts = {"weights": "yolact_tiny.safetensors", "data": "/a/rather/long/path" * 6, "date": "2026-01-02 03:04 UTC"}
    qualities = {name: {"PQ": 10.0 * rank} for rank, name in enumerate(NAMES[:3])}
    breakdowns = {
        "box": instances(rng),
        "mask": instances(rng),
        "panoptic": Breakdown({"PQ": "panoptic quality"}, qualities),
    }
    headline = {"mask AP (COCO segm, IoU 0.50:0.95)": 31.25, "box AP (COCO bbox, IoU 0.50:0.95)": float("nan")}
    return Evaluation(
        "yolact_tiny in torch on cpu", facts, headline, ["mask AP 31.2", "box AP"], ["a note"], breakdowns
    )
