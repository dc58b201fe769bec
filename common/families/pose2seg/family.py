"""The record of Pose2Seg."""

from common.families import Family
from common.families.pose2seg import samples
from common.families.pose2seg.initial_weights import initial_weight
from common.families.pose2seg.parity import PARITY
from common.families.pose2seg.prediction import compute_losses, find_instances, run_stages
from common.families.pose2seg.prompts import PROMPTS
from common.families.pose2seg.protocols import DATA_LAYOUT
from common.families.pose2seg.settings import Pose2SegSettings
from common.families.pose2seg.speed import SPEED
from common.results import InstanceKind

# The persons are given by their key points: no boxes are found.
MASKS = InstanceKind(rated=("mask",))

FAMILY = Family(
    network="Pose2Seg",
    settings=Pose2SegSettings,
    samples=samples,
    losses=compute_losses,
    predict=find_instances,
    stages=run_stages,
    results=lambda settings: MASKS,
    initial_weight=initial_weight,
    finds="persons by their key points",
    prompts=PROMPTS,
    data_layout=DATA_LAYOUT,
    models=("pose2seg",),
    parity=PARITY,
    speed=SPEED,
)
