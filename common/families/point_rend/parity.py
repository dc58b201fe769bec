"""The facts that parity needs to compare PointRend's models."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from common.families.mask_rcnn import parity
from common.families.parity import Arrays, spread_scores
from common.training.randomness import stream

POINTS = 50  # of a region

# As `common.families.mask_rcnn.parity.SPREADS`: fresh masks are nearly 0 everywhere, and rounding would choose points.
SPREADS = parity.SPREADS | {
    "coarse_logits": ("coarse_head.logits", 2.0),
    "point_logits": ("point_head.logits", 2.0),
}


def make_stage_inputs(batch: Mapping[str, np.ndarray], seed: int) -> Arrays:
    """Those of Mask R-CNN, with `points` (K, P, 2) of the regions.

    Without classes, so that nothing is subdivided: which cells a step chooses is up to rounding where several are
    equally unsure, and the results show what becomes of it.
    """
    inputs = parity.make_stage_inputs(batch, seed)
    points = stream(seed, 0, "points").random((len(inputs["rois"]), POINTS, 2), np.float32)
    return inputs | {"points": points}


PARITY = replace(
    parity.PARITY,
    stage_inputs=make_stage_inputs,
    enliven=partial(spread_scores, spreads=SPREADS),
    row_keys={**parity.PARITY.row_keys, "points": "rows"},
    causes_by_class={
        "CoarseHead": {"": "the grid on which the region is read, or the order in which its features are flattened"},
        "PointHead": {"": "the coarse logits: they join every layer, and are read from the coarse map"},
    },
    causes_by_name={
        **parity.PARITY.causes_by_name,
        "number of equal points": {
            "": "the choice of points: |logit| is taken after the logits were read at the points, of the true class",
        },
        "point_fine": {"": "align_corners of the reading, or the padded size that points are divided by"},
    },
)
