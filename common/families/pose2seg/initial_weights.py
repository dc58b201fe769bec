"""The numbers that Pose2Seg starts from."""

import math

import numpy as np

from common.families.pose2seg.settings import Pose2SegSettings
from common.training.initial_weights import Shapes, constant_value, draw_normal, draw_uniform, fans


def initial_weight(name: str, shapes: Shapes, settings: Pose2SegSettings, seed: int) -> np.ndarray:
    """The backbone's and the pyramid's convolutions as ResNet's; all else, and biases, by PyTorch's own rule."""
    shape, weight = shapes[name], shapes[f"{name.rpartition('.')[0]}.weight"]
    if len(weight) < 2:
        return constant_value(name, shape)
    fan_in, fan_out = fans(weight)
    if name.endswith(".weight") and not name.startswith("segnet."):
        gain = settings.network.pyramid_gain if name.startswith("fpn.output.") else 1.0
        return draw_normal(name, shape, gain * math.sqrt(2.0 / fan_out), seed)
    return draw_uniform(name, shape, 1 / math.sqrt(fan_in), seed)
