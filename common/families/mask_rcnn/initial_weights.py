"""The weights that Mask R-CNN starts from."""

import math

import numpy as np

from common.families.mask_rcnn.settings import MaskRcnnSettings
from common.training.initial_weights import (
    Shapes,
    compute_fans,
    draw_normal,
    draw_swin_weight,
    draw_uniform,
    make_constant,
)

# The layers, beside the box head's, for which `head_weights` of "PyTorch" means PyTorch's own rule: biases alone.
_PYTORCHS_BIASES = ("mask_head.deconv.bias", "mask_head.logits.bias")


def initial_weight(
    name: str, shapes: Shapes, settings: MaskRcnnSettings, seed: int, role: str | None = None
) -> np.ndarray:
    """The first value of the parameter of this name, in the shape that `shapes` has for it.

    role: the name of the parameter of Mask R-CNN by whose rule it is drawn, where that is another one.

    PyTorch's own rule draws from -b to b with b = 1 / sqrt(inputs); the fully connected layers and the pyramid have b =
    sqrt(3 / inputs) otherwise. The proposal network and the classes are normal with a deviation of 0.01, box offsets
    with 0.001, and everything else with sqrt(2 / outputs). In MindSpore's zoo the pyramid, the fully connected layers
    and the mask head have b = sqrt(6 / (inputs + outputs)), and box offsets a deviation of 0.01; in mmdetection the
    pyramid and the fully connected layers have this b. A Swin's weights have a deviation of 0.02, and its first layer
    is as PyTorch draws it.
    """
    shape, rules, role = shapes[name], settings.rules, role or name
    if settings.network.backbone.kind == "swin" and role.startswith("backbone."):
        return draw_swin_weight(name, shape, seed)
    is_pytorchs = role.startswith(("box_head.fc", "box_head.classes.", "box_head.deltas.")) or role in _PYTORCHS_BIASES
    if is_pytorchs and rules.head_weights == "PyTorch":
        return draw_uniform(name, shape, 1 / math.sqrt(_count_inputs(role, settings)), seed)
    if len(shape) < 2:
        return make_constant(name, shape)
    fan_in, fan_out = compute_fans(shape)
    if role.startswith("mask_head.") and rules.head_weights == "MindSpore":
        return draw_uniform(name, shape, math.sqrt(6.0 / (fan_in + fan_out)), seed)
    if role.startswith(("fpn.", "box_head.fc")) and rules.head_weights in ("MindSpore", "Xavier"):
        return draw_uniform(name, shape, math.sqrt(6.0 / (fan_in + fan_out)), seed)
    if role.startswith("box_head.deltas.") and rules.head_weights == "MindSpore":
        return draw_normal(name, shape, 0.01, seed)
    if role.startswith(("fpn.", "box_head.fc")):
        return draw_uniform(name, shape, math.sqrt(3.0 / fan_in), seed)
    if role.startswith(("rpn.", "box_head.classes.")):
        return draw_normal(name, shape, 0.01, seed)
    if role.startswith("box_head.deltas."):
        return draw_normal(name, shape, 0.001, seed)
    if role.startswith("mask_head.logits.") and rules.mask_logits_deviation is not None:
        return draw_normal(name, shape, rules.mask_logits_deviation, seed)
    # The backbone, C4's last stage of it, and the mask head.
    return draw_normal(name, shape, math.sqrt(2.0 / fan_out), seed)


def _count_inputs(name: str, settings: MaskRcnnSettings) -> int:
    """A layer's inputs as PyTorch counts them: those of a transposed convolution are its outputs times its taps."""
    network = settings.network
    if name.startswith("mask_head."):
        return network.channels * (4 if name.startswith("mask_head.deconv.") else 1)
    return network.channels * network.box_size**2 if name.startswith("box_head.fc1.") else network.box_channels
