"""The record of Mask2Former."""

from common.families import Family
from common.families.mask2former import samples
from common.families.mask2former.initial_weights import initial_weight
from common.families.mask2former.original import CONFIG_FILES
from common.families.mask2former.parity import PARITY
from common.families.mask2former.prediction import find_results, results_of
from common.families.mask2former.settings import Mask2FormerSettings
from common.families.mask2former.speed import SPEED
from common.families.mask2former.stages import run_stages
from common.families.mask2former.training import compute_losses

FAMILY = Family(
    network="Mask2Former",
    settings=Mask2FormerSettings,
    samples=samples,
    losses=compute_losses,
    predict=find_results,
    stages=run_stages,
    results=results_of,
    initial_weight=initial_weight,
    config_files=CONFIG_FILES,
    finds="segments",
    models=("mask2former_r50",),
    parity=PARITY,
    speed=SPEED,
)
