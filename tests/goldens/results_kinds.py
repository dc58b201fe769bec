"""The kind of results: boxes as they stand in a COCO results file."""

from pathlib import Path
from types import ModuleType

import numpy as np

from common.array import Array
from common.families.mask_rcnn.detection import Detections
from common.families.mask_rcnn.heads import RegionMasks
from common.families.mask_rcnn.prediction import instances_of
from common.models import load_settings
from common.results import Instances
from common.results.instances import coco_entries
from tests.goldens import golden
from tests.goldens.rcnn_kinds import VARIANTS

Answers = dict[str, np.ndarray]
IMAGE_SIZE = (700, 900)


def boxes(case: Path, framework: str, device: str, xp: ModuleType, like: Array, folder: Path) -> Answers:
    """Each family's boxes, through what makes instances of its detections; where the others differ, no answer."""
    given = golden.arrays(case)["in.boxes"].astype(np.float32)
    count = len(given)
    scores, labels, rows = np.ones(count, np.float32), np.ones(count, np.int32), np.arange(count, dtype=np.int32)
    written = {}
    for prefix, variant in VARIANTS.items():
        found = Detections(given, scores, labels, rows)
        masks = RegionMasks(np.zeros((count, 28, 28), np.float32))
        written[prefix] = _written(instances_of(found, masks, IMAGE_SIZE, load_settings(variant)))
    none = np.zeros((count, *IMAGE_SIZE), bool)
    written["yolact"] = _written(Instances(IMAGE_SIZE, given, scores, labels.astype(np.int64), none))
    others = [each for prefix, each in written.items() if prefix != "mb"]
    assert all(np.array_equal(each, others[0]) for each in others)
    return {"mb": written["mb"], "other": others[0]}


def _written(instances: Instances) -> np.ndarray:
    """(N, 4) x, y, width, height, as the results have them."""
    return np.array([entry["bbox"] for entry in coco_entries(1, instances, (1, 2), "box")])
