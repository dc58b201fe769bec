"""The facts that parity needs to compare the models of Cascade Mask R-CNN."""

from dataclasses import replace
from functools import partial

from common.families.mask_rcnn import parity

# As `common.families.mask_rcnn.parity.SPREADS`, for each stage.
SPREADS = {"rpn_logits": parity.SPREADS["rpn_logits"]} | {
    f"class_logits_s{stage}": (f"box_heads.{stage}.classes", 3.0) for stage in range(3)
}

PARITY = replace(
    parity.PARITY,
    enliven=partial(parity.spread_scores, spreads=SPREADS),
    causes_by_name={
        **parity.PARITY.causes_by_name,
        "rois_s": {"": "the stage before: its coder's weights, the class whose offsets move a region, or the clipping"},
        "class_scores": {"": "scores come of the mean of all stages' logits, before the softmax"},
        "mask_scores": {"": "masks are the mean of all stages' probabilities"},
    },
)
