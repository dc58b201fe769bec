"""The facts that parity needs to compare the models of Cascade Mask R-CNN."""

from dataclasses import replace
from functools import partial

from common.families.mask_rcnn import parity
from common.families.parity import spread_scores

STAGES = 3  # of all models
# As `common.families.mask_rcnn.parity.SPREADS`, for each stage. Fresh offsets leave a region where it is: an object's
# own box overlaps with the object by all but rounding, and 1 - GIoU is nothing else.
SPREADS = {"rpn_logits": parity.SPREADS["rpn_logits"]}
SPREADS |= {f"class_logits_s{stage}": (f"box_heads.{stage}.classes", 3.0) for stage in range(STAGES)}
SPREADS |= {f"box_deltas_s{stage}": (f"box_heads.{stage}.deltas", 1.0) for stage in range(STAGES)}

_MOVED = {
    "": "the stage before: its coder's weights, the class whose offsets move a region, or the clipping",
    "shift by channel": "the last pixel counted with (+1) in width and height",
}
_REGIONS = {"": _MOVED[""], "noise": f"the pooling, or the regions: {_MOVED['']}"}

PARITY = replace(
    parity.PARITY,
    enliven=partial(spread_scores, spreads=SPREADS),
    causes_by_name={
        **parity.PARITY.causes_by_name,
        # What the stages behind the first are given.
        **{f"rois_s{stage}": _MOVED for stage in range(1, STAGES)},
        **{f"proposals{stage + 1}.boxes": _MOVED for stage in range(1, STAGES)},
        **{f"input of box_heads.{stage}": _REGIONS for stage in range(1, STAGES)},
        "class_scores": {"": "scores come of the mean of all stages' logits, before the softmax"},
        "mask_scores": {"": "masks are the mean of all stages' probabilities"},
    },
)
