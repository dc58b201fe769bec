"""The record of Cascade Mask R-CNN."""

from functools import partial

from common.families import Family
from common.families.cascade_mask_rcnn.heads import find_boxes, find_masks
from common.families.cascade_mask_rcnn.initial_weights import initial_weight
from common.families.cascade_mask_rcnn.parity import PARITY
from common.families.cascade_mask_rcnn.settings import CascadeSettings
from common.families.cascade_mask_rcnn.speed import SPEED
from common.families.cascade_mask_rcnn.stages import run_stages
from common.families.cascade_mask_rcnn.training import compute_losses
from common.families.mask_rcnn import samples
from common.families.mask_rcnn.masks import make_heat_maps
from common.families.mask_rcnn.prediction import find_instances
from common.results import INSTANCES

FAMILY = Family(
    network="CascadeMaskRcnn",
    settings=CascadeSettings,
    samples=samples,
    losses=compute_losses,
    predict=partial(find_instances, find_boxes=find_boxes, find_masks=find_masks),
    stages=run_stages,
    results=lambda settings: INSTANCES,
    initial_weight=initial_weight,
    heat_maps=make_heat_maps,
    models=("cascade_mask_rcnn_swin_t",),
    parity=PARITY,
    speed=SPEED,
)
