"""The record of Mask R-CNN."""

from common.families import Family
from common.families.mask_rcnn import samples
from common.families.mask_rcnn.initial_weights import initial_weight
from common.families.mask_rcnn.maskrcnn_benchmark import CONFIG_FILES
from common.families.mask_rcnn.masks import make_heat_maps
from common.families.mask_rcnn.parity import PARITY
from common.families.mask_rcnn.prediction import find_instances
from common.families.mask_rcnn.settings import MaskRcnnSettings
from common.families.mask_rcnn.speed import SPEED
from common.families.mask_rcnn.stages import run_stages
from common.families.mask_rcnn.training import compute_losses
from common.results import INSTANCES

FAMILY = Family(
    network="MaskRcnn",
    settings=MaskRcnnSettings,
    samples=samples,
    losses=compute_losses,
    predict=find_instances,
    stages=run_stages,
    results=lambda settings: INSTANCES,
    initial_weight=initial_weight,
    config_files=CONFIG_FILES,
    heat_maps=make_heat_maps,
    models=("mask_rcnn_r50_fpn",),
    parity=PARITY,
    speed=SPEED,
)
