"""The weights that PointRend starts from."""

import math

import numpy as np

from common.families.mask_rcnn import initial_weights
from common.families.point_rend.settings import PointRendSettings
from common.training.initial_weights import Shapes, compute_fans, draw_normal, draw_uniform


def initial_weight(name: str, shapes: Shapes, settings: PointRendSettings, seed: int) -> np.ndarray:
    """The first value of the parameter of this name, in the shape that `shapes` has for it.

    The coarse head's linear layers are uniform in -b to b with b = sqrt(3 / inputs), and both last layers normal with a
    deviation of 0.001; the other layers of the two heads are as those of Mask R-CNN's mask head. In MindSpore's zoo the
    point head's layers have a deviation of sqrt(2 / inputs), and all others of the two heads one of 0.01.
    """
    shape = shapes[name]
    if len(shape) > 1 and settings.rules.head_weights == "MindSpore":
        if name.startswith("point_head.fc"):
            return draw_normal(name, shape, math.sqrt(2.0 / compute_fans(shape)[0]), seed)
        if name.startswith(("coarse_head.", "point_head.")):
            return draw_normal(name, shape, 0.01, seed)
    if len(shape) > 1 and name.startswith("coarse_head.fc"):
        return draw_uniform(name, shape, math.sqrt(3.0 / compute_fans(shape)[0]), seed)
    if name in ("coarse_head.logits.weight", "point_head.logits.weight"):
        return draw_normal(name, shape, 1e-3, seed)
    return initial_weights.initial_weight(name, shapes, settings, seed)
