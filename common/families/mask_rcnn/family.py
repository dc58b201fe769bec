"""The record of Mask R-CNN."""

from common.families import Family
from common.families.mask_rcnn import samples
from common.families.mask_rcnn.comparison import COMPARISON
from common.families.mask_rcnn.initial_weights import initial_weight
from common.families.mask_rcnn.maskrcnn_benchmark import CONFIG_FILES
from common.families.mask_rcnn.masks import make_heat_maps
from common.families.mask_rcnn.measuring import MEASURING
from common.families.mask_rcnn.prediction import find_instances
from common.families.mask_rcnn.settings import MaskRcnnSettings
from common.families.mask_rcnn.stages import run_stages
from common.families.mask_rcnn.training import compute_losses

FAMILY = Family(
    network="MaskRcnn",
    settings=MaskRcnnSettings,
    samples=samples,
    losses=compute_losses,
    predict=find_instances,
    stages=run_stages,
    initial_weight=initial_weight,
    config_files=CONFIG_FILES,
    heat_maps=make_heat_maps,
    models=("mask_rcnn_r50_fpn",),
    comparison=COMPARISON,
    measuring=MEASURING,
)
