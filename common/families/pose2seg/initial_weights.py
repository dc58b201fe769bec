"""The initial values of Pose2Seg's parameters."""

import math

import numpy as np

from common.families.pose2seg.settings import Pose2SegSettings
from common.training.initial_weights import Shapes, compute_fans, draw_normal, draw_uniform, make_constant


def initial_weight(name: str, shapes: Shapes, settings: Pose2SegSettings, seed: int) -> np.ndarray:
    """Makes the initial value of the parameter `name`, of the shape `shapes[name]`.

    The backbone's and the pyramid's convolutions are normal with deviation sqrt(2 / fan_out), the pyramid's last ones
    times `pyramid_gain`; all others, and biases, are uniform within 1 / sqrt(fan_in), PyTorch's own rule.
    """
    shape, weight = shapes[name], shapes[f"{name.rpartition('.')[0]}.weight"]
    if len(weight) < 2:
        return make_constant(name, shape)
    fan_in, fan_out = compute_fans(weight)
    if name.endswith(".weight") and not name.startswith("segnet."):
        gain = settings.network.pyramid_gain if name.startswith("fpn.output.") else 1.0
        return draw_normal(name, shape, gain * math.sqrt(2.0 / fan_out), seed)
    return draw_uniform(name, shape, 1 / math.sqrt(fan_in), seed)
