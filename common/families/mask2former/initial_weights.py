"""The weights that Mask2Former starts from."""

import math

import numpy as np

from common.families.mask2former.positions import STRIDES, offset_pattern
from common.families.mask2former.settings import Mask2FormerSettings
from common.training.initial_weights import (
    Shapes,
    compute_fans,
    draw_normal,
    draw_swin_weight,
    draw_uniform,
    make_constant,
)

# The parts of the pixel decoder between the encoder and the masks, and the layers that PyTorch's own rule draws whole.
_OF_MASKS = ("pixel_decoder.lateral.", "pixel_decoder.output.", "pixel_decoder.mask_features.")
_PYTORCHS = ("transformer_decoder.class_embed.", "transformer_decoder.mask_embed.")
_EMBEDDINGS = ("query_features.weight", "query_positions.weight", "level_embed", "level_embed.weight")


def initial_weight(name: str, shapes: Shapes, settings: Mask2FormerSettings, seed: int) -> np.ndarray:
    """The first value of the parameter of this name, in the shape that `shapes` has for it.

    Matrices are uniform in -b to b with b = sqrt(6 / (inputs + outputs)), an attention's three first ones as one, and
    the convolutions that end in the masks' features with b = sqrt(3 / inputs); embeddings are normal. PyTorch's own
    rule, b = 1 / sqrt(inputs), draws the last layers and the biases of the two linear layers on each token. The places
    that the pixel decoder reads do not depend on the token at first, and weigh alike. A backbone is as Mask R-CNN's.
    """
    shape = shapes[name]
    if name.startswith("backbone."):
        return _backbone_weight(name, shape, settings, seed)
    if name.endswith(_EMBEDDINGS):
        return draw_normal(name, shape, 1.0, seed)
    if name.endswith("sampling_offsets.bias"):
        return offset_pattern(settings.network.heads, len(STRIDES), settings.network.points).reshape(shape)
    if ".sampling_offsets." in name or ".attention_weights." in name:
        return np.zeros(shape, np.float32)
    if name.startswith(_PYTORCHS) or name.endswith(("linear1.bias", "linear2.bias")):
        fan_in, _ = compute_fans(shapes[f"{name.rpartition('.')[0]}.weight"])
        return draw_uniform(name, shape, 1 / math.sqrt(fan_in), seed)
    if len(shape) < 2:
        return make_constant(name, shape)
    fan_in, fan_out = compute_fans(shape)
    bound = math.sqrt(3.0 / fan_in) if name.startswith(_OF_MASKS) else math.sqrt(6.0 / (fan_in + fan_out))
    return draw_uniform(name, shape, bound, seed)


def _backbone_weight(name: str, shape: tuple[int, ...], settings: Mask2FormerSettings, seed: int) -> np.ndarray:
    if settings.network.backbone.kind == "swin":
        return draw_swin_weight(name, shape, seed)
    if len(shape) < 2:
        return make_constant(name, shape)
    return draw_normal(name, shape, math.sqrt(2.0 / compute_fans(shape)[1]), seed)
