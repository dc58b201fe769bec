"""The numbers that YOLACT starts from."""

import math

import numpy as np

from common.families.yolact.settings import YolactSettings
from common.training.initial_weights import Shapes, constant_value, draw_normal, draw_uniform, fans


def initial_weight(name: str, shapes: Shapes, settings: YolactSettings, seed: int) -> np.ndarray:
    """Xavier-uniform convolutions, and the backbone's own rule."""
    shape = shapes[name]
    if len(shape) < 2:
        return constant_value(name, shape)
    if ".offset_mask." in name:  # a deformable convolution starts as a plain one
        return np.zeros(shape, np.float32)
    fan_in, fan_out = fans(shape)
    if name.startswith("backbone."):
        return draw_normal(name, shape, math.sqrt(2.0 / fan_out), seed)
    return draw_uniform(name, shape, math.sqrt(6.0 / (fan_in + fan_out)), seed)
