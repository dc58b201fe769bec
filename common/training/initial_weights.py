"""The numbers that training from scratch starts from: by canonical name and shape, equal in every framework."""

import math

import numpy as np

from common.config import Settings
from common.training.randomness import stream

Shapes = dict[str, tuple[int, ...]]
Weights = dict[str, np.ndarray]


def initial_weights(shapes: Shapes, settings: Settings, seed: int) -> Weights:
    """A value for every name. Each name has its own stream, so that a model's other parts never shift its numbers."""
    rules = {"yolact": _yolact}
    return {name: rules[settings.family](name, shape, seed) for name, shape in shapes.items()}


def _yolact(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Xavier-uniform convolutions; in the backbone Kaiming-normal ones by their outputs, as in torchvision's ResNet."""
    if len(shape) < 2:
        return _constant(name, shape)
    if ".offset_mask." in name:  # a deformable convolution starts as a plain one
        return np.zeros(shape, np.float32)
    rng = stream(seed, 0, f"initial weight {name}")
    taps = math.prod(shape[2:])
    fan_in, fan_out = shape[1] * taps, shape[0] * taps
    if name.startswith("backbone."):
        return rng.standard_normal(shape, np.float32) * np.float32(math.sqrt(2.0 / fan_out))
    bound = math.sqrt(6.0 / (fan_in + fan_out))
    return rng.uniform(-bound, bound, shape).astype(np.float32)


def _constant(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Norms start as the identity; biases are zero. Only a norm has a weight of one axis."""
    is_one = name.endswith((".weight", ".running_var"))
    return np.ones(shape, np.float32) if is_one else np.zeros(shape, np.float32)
