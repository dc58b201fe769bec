"""The tasks that the speed of Cascade Mask R-CNN is measured by: those of Mask R-CNN."""

from dataclasses import replace

import numpy as np

from common.families.cascade_mask_rcnn.settings import CascadeSettings
from common.families.mask_rcnn import speed
from common.families.speed import Arrays


def enliven(weights: Arrays, settings: CascadeSettings) -> Arrays:
    """Sharpens the scores of initial weights, which are else nearly equal, and favours the background."""
    scale = np.float32(np.mean(settings.preprocessing.deviation))
    made = dict(weights)
    for layer, factor in speed.SHARPNESS.items():
        head, _, leaf = layer.partition(".")
        names = [f"{head}s.{stage}.{leaf}" for stage in range(len(settings.stages))] if head == "box_head" else [layer]
        made |= {f"{name}.weight": weights[f"{name}.weight"] * np.float32(factor) * scale for name in names}
    for stage in range(len(settings.stages)):
        made[f"box_heads.{stage}.classes.bias"][-1] = speed.BACKGROUND
    return made


SPEED = replace(speed.SPEED, enliven=enliven)
