"""Pebble's losses, on the array contract."""

from collections.abc import Mapping
from typing import Any

from common.array import Array, namespace
from common.losses import smooth_l1
from common.training.choices import Choose, choose_own
from common.training.ranks import SumOverRanks, sum_of_one


def compute_losses(
    network: Any,
    batch: Mapping[str, Array],
    choose: Choose = choose_own,
    sum_over_ranks: SumOverRanks = sum_of_one,
) -> dict[str, Array]:
    """The terms `class`, `box` and `mask` of a batch as `samples.Training.collate` makes it, each an object's share.

    Classes are held against their targets in every cell, boxes and masks in those that have an object.
    """
    outputs = {name: by_cell(value) for name, value in network(batch["image"]).items()}
    xp = namespace(outputs["classes"])
    objects = xp.maximum(batch["normaliser.objects"], 1.0)
    positive = batch["positive"][:, :, None]
    classes = xp.binary_cross_entropy_with_logits(outputs["classes"], batch["class_targets"])
    boxes = positive * smooth_l1(outputs["boxes"] - batch["box_targets"])
    masks = positive * xp.binary_cross_entropy_with_logits(outputs["masks"], batch["mask_targets"])
    return {
        "class": xp.sum(classes) / objects,
        "box": xp.sum(boxes) / objects,
        "mask": xp.sum(masks) / (objects * masks.shape[2]),
    }


def by_cell(x: Array) -> Array:
    """(N, values, h, w) -> (N, h * w, values)"""
    xp = namespace(x)
    return xp.reshape(xp.transpose(x, (0, 2, 3, 1)), (x.shape[0], x.shape[2] * x.shape[3], x.shape[1]))
