"""The facts that parity needs to compare Mask R-CNN's models."""

from collections.abc import Mapping
from functools import partial

import numpy as np

from common.families.parity import Arrays, Parity, spread_scores
from common.training.randomness import stream

REGIONS, MIN_SIDE = 32, 0.05  # a region's sides are this share of the image's at least

# How far apart a two-stage model's scores are to lie, by the stage's name and the layer that gives it. Fresh ones are
# nearly equal: what is chosen by them is chosen by rounding, and of 80 classes none gets a score worth a detection.
SPREADS = {"rpn_logits": ("rpn.objectness", 2.0), "class_logits": ("box_head.classes", 3.0)}


def make_stage_inputs(batch: Mapping[str, np.ndarray], seed: int) -> Arrays:
    """The `image` (1, 3, H, W) of a batch, and regions `rois` (K, 5) for the heads, which the model else chooses."""
    regions = _draw_regions(batch["image"].shape[2:], stream(seed, 0, "regions"))
    return {"image": batch["image"], "rois": regions}


def _draw_regions(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """(REGIONS, 5): image index, x1, y1, x2, y2 in an image (height, width), from small ones to all of it."""
    sides = np.exp(rng.uniform(np.log(MIN_SIDE), 0.0, (REGIONS, 2))) * size[::-1]
    corners = rng.uniform(size=(REGIONS, 2)) * (size[::-1] - sides)
    return np.concatenate([np.zeros((REGIONS, 1)), corners, corners + sides], axis=1).astype(np.float32)


PARITY = Parity(
    stage_inputs=make_stage_inputs,
    enliven=partial(spread_scores, spreads=SPREADS),
    row_keys={"proposals": "rows"},
    causes_by_name={
        "number of equal proposals": {
            "": "suppression: its threshold, the order of equal scores, or the number kept of each map",
        },
        "proposals.boxes": {
            "": "the box coder: its weights, the last pixel counted with (+1), clipping, or the anchors",
            "shift by channel": "the last pixel counted with (+1) in width and height",
        },
    },
)
