"""The record of YOLACT and YOLACT++."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from common.array import Array
from common.families import Family
from common.families.yolact import samples
from common.families.yolact.detection import find_instances
from common.families.yolact.geometry import make_priors
from common.families.yolact.initial_weights import initial_weight
from common.families.yolact.losses import compute_losses
from common.families.yolact.masks import make_heat_maps
from common.families.yolact.parity import PARITY
from common.families.yolact.settings import YolactSettings
from common.families.yolact.speed import SPEED
from common.results import InstanceKind, Instances
from common.training.choices import Choose, choose_own
from common.training.ranks import SumOverRanks, sum_of_one


def losses(
    network: Any,
    batch: Mapping[str, Array],
    choose: Choose = choose_own,
    sum_over_ranks: SumOverRanks = sum_of_one,
) -> dict[str, Array]:
    """The weighted terms B, C, M, S (and I) of a batch as `common.families.yolact.targets.collate` makes it.

    A step chooses nothing here that could be handed to it, and all its divisors stand in the batch.
    """
    return compute_losses(network(batch["image"]), batch, network.settings, network.mask_iou_net)


def predict(
    network: Any, image: Array, inputs: Mapping[str, np.ndarray], score_threshold: float = 0.0
) -> list[Instances]:
    """Images (N, 3, S, S) -> for each its instances, in the pixels of its `original_size` (height, width)."""
    sizes = [tuple(size) for size in inputs["original_size"].tolist()]
    return find_instances(network(image), sizes, network.settings, score_threshold, network.mask_iou_net)


def stages(network: Any, image: Array, inputs: Mapping[str, np.ndarray]) -> dict[str, Array | np.ndarray]:
    """Every named stage of images (N, 3, H, W): the network's outputs, and the priors."""
    return network(image) | {"priors": make_priors(network.settings, tuple(image.shape[2:]))}


RESULTS = InstanceKind(needs_area=True)

FAMILY = Family(
    network="Yolact",
    settings=YolactSettings,
    samples=samples,
    losses=losses,
    predict=predict,
    stages=stages,
    results=lambda settings: RESULTS,
    initial_weight=initial_weight,
    heat_maps=make_heat_maps,
    models=("yolact_resnet50", "yolact_plus_resnet50"),
    parity=PARITY,
    speed=SPEED,
)
