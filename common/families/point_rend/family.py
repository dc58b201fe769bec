"""The record of PointRend."""

from functools import partial

from common.families import Family
from common.families.mask_rcnn.masks import make_heat_maps
from common.families.mask_rcnn.prediction import find_instances
from common.families.point_rend import samples
from common.families.point_rend.heads import find_masks
from common.families.point_rend.initial_weights import initial_weight
from common.families.point_rend.parity import PARITY
from common.families.point_rend.settings import PointRendSettings
from common.families.point_rend.speed import SPEED
from common.families.point_rend.stages import run_stages
from common.families.point_rend.training import compute_losses
from common.results import INSTANCES

FAMILY = Family(
    network="PointRend",
    settings=PointRendSettings,
    samples=samples,
    losses=compute_losses,
    predict=partial(find_instances, find_masks=find_masks),
    stages=run_stages,
    results=lambda settings: INSTANCES,
    initial_weight=initial_weight,
    heat_maps=make_heat_maps,
    chooses_points=True,
    models=("point_rend_r50_fpn",),
    parity=PARITY,
    speed=SPEED,
)
