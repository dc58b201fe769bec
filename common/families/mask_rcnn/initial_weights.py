"""The initial values of Mask R-CNN's parameters."""

import math

import numpy as np

from common.families.mask_rcnn.settings import MaskRcnnSettings
from common.training.initial_weights import Shapes, compute_fans, draw_normal, draw_uniform, make_constant

# torchvision draws the weights of these layers itself, but leaves their biases to PyTorch.
_PYTORCHS_BIASES = ("mask_head.deconv.bias", "mask_head.logits.bias")


def initial_weight(name: str, shapes: Shapes, settings: MaskRcnnSettings, seed: int) -> np.ndarray:
    """Makes the initial value of the parameter `name`, of the shape `shapes[name]`, as the convention's original does.

    The three originals agree but for what torchvision leaves to PyTorch and for detectron2's mask logits.
    """
    shape, convention = shapes[name], settings.convention
    is_pytorchs = name.startswith(("box_head.fc", "box_head.classes.", "box_head.deltas.")) or name in _PYTORCHS_BIASES
    if is_pytorchs and convention == "torchvision":  # by PyTorch's rule, which takes the layer's fan_in for biases too
        return draw_uniform(name, shape, 1 / math.sqrt(_count_inputs(name, settings)), seed)
    if len(shape) < 2:
        return make_constant(name, shape)
    fan_in, fan_out = compute_fans(shape)
    if name.startswith(("fpn.", "box_head.fc")):
        return draw_uniform(name, shape, math.sqrt(3.0 / fan_in), seed)
    if name.startswith(("rpn.", "box_head.classes.")):
        return draw_normal(name, shape, 0.01, seed)
    if name.startswith("box_head.deltas.") or (name.startswith("mask_head.logits.") and convention == "detectron2"):
        return draw_normal(name, shape, 0.001, seed)
    # What remains is the backbone, with C4's last stage, and the mask head.
    return draw_normal(name, shape, math.sqrt(2.0 / fan_out), seed)


def _count_inputs(name: str, settings: MaskRcnnSettings) -> int:
    """Counts a layer's inputs as PyTorch does: a transposed convolution has its outputs times its taps."""
    network = settings.network
    if name.startswith("mask_head."):
        return network.channels * (4 if name.startswith("mask_head.deconv.") else 1)
    return network.channels * network.box_size**2 if name.startswith("box_head.fc1.") else network.box_channels
