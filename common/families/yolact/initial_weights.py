"""The initial values of YOLACT's parameters."""

import math

import numpy as np

from common.families.yolact.settings import YolactSettings
from common.training.initial_weights import Shapes, compute_fans, draw_normal, draw_uniform, make_constant


def initial_weight(name: str, shapes: Shapes, settings: YolactSettings, seed: int) -> np.ndarray:
    """Makes the initial value of the parameter `name`, of the shape `shapes[name]`.

    The backbone's convolutions are normal with deviation sqrt(2 / fan_out), all others uniform within
    sqrt(6 / (fan_in + fan_out)) (Xavier).
    """
    shape = shapes[name]
    if len(shape) < 2:
        return make_constant(name, shape)
    if ".offset_mask." in name:  # a deformable convolution starts as a plain one
        return np.zeros(shape, np.float32)
    fan_in, fan_out = compute_fans(shape)
    if name.startswith("backbone."):
        return draw_normal(name, shape, math.sqrt(2.0 / fan_out), seed)
    return draw_uniform(name, shape, math.sqrt(6.0 / (fan_in + fan_out)), seed)
