"""The half of the two-stage models that is not network, on the array contract and in NumPy.

A map is named after the level it comes from, p2 to p6 in a pyramid and c4 without one; its stride is 2 ** level.
Labels are the network's own columns: where the background comes first objects count from 1, else from 0.
"""

from common.rcnn.detection import Detections, detect, to_original
from common.rcnn.geometry import HeadOutputs, anchors, head_outputs, map_names, strides
from common.rcnn.loss import box_losses, mask_loss, rpn_losses
from common.rcnn.pooling import pool, pool_pyramid, pyramid_levels
from common.rcnn.prediction import predict
from common.rcnn.proposals import Proposals, by_anchor, propose
from common.rcnn.sampling import anchor_targets, sample_regions
from common.rcnn.stages import stages
from common.rcnn.target import bitmap_targets, form_targets, label_anchors, label_regions, polygon_targets
from common.rcnn.training import losses

__all__ = [
    "Detections",
    "HeadOutputs",
    "Proposals",
    "anchor_targets",
    "anchors",
    "bitmap_targets",
    "box_losses",
    "by_anchor",
    "detect",
    "form_targets",
    "head_outputs",
    "label_anchors",
    "label_regions",
    "losses",
    "map_names",
    "mask_loss",
    "polygon_targets",
    "pool",
    "pool_pyramid",
    "predict",
    "propose",
    "pyramid_levels",
    "rpn_losses",
    "sample_regions",
    "stages",
    "strides",
    "to_original",
]
