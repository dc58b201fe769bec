"""Makes PointRend's samples: Mask R-CNN's, whose objects are bitmaps, for masks are read at points."""

from typing import Any

import numpy as np

from common.families.mask_rcnn import samples
from common.families.mask_rcnn.conventions import Convention
from common.families.mask_rcnn.outlines import draw_outline
from common.families.mask_rcnn.samples import Inference, collate, join, prepare

__all__ = ["Inference", "Training", "collate", "join", "prepare", "with_bitmaps"]


class Training(samples.Training):
    """Makes training samples by index, as Mask R-CNN's, with bitmaps."""

    def __call__(self, index: int, rng: np.random.Generator) -> dict:
        return with_bitmaps(super().__call__(index, rng), self.settings.rules)


def with_bitmaps(sample: dict[str, Any], rules: Convention) -> dict[str, Any]:
    """A training sample with bitmaps for outlines; the convention says whether objects go that cover no pixel now."""
    drawn = [draw_outline(outline, sample["image"].shape[1:]) for outline in sample["outlines"]]
    drops = rules.drops_empty_bitmaps == "after resizing"
    kept = [row for row, outline in enumerate(drawn) if outline.bitmap.any() or not drops]
    objects = {"boxes": sample["boxes"][kept], "labels": sample["labels"][kept]}
    return sample | objects | {"outlines": [drawn[row] for row in kept]}
