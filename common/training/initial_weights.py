"""Draws the initial values of parameters by their canonical names and shapes: the same in every framework.

Each name has its own stream of random numbers, so that a parameter's values do not depend on a model's other parts.
"""

import math
from collections.abc import Mapping

import numpy as np

from common.training.randomness import stream

# The shapes of all parameters of a network by their canonical names.
Shapes = Mapping[str, tuple[int, ...]]


def compute_fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Returns fan_in and fan_out of a weight (out, in, ...): its inputs and outputs, each times its taps."""
    taps = math.prod(shape[2:])
    return shape[1] * taps, shape[0] * taps


def draw_normal(name: str, shape: tuple[int, ...], deviation: float, seed: int) -> np.ndarray:
    """Draws float32 values from a normal distribution of mean 0 and this deviation."""
    rng = stream(seed, 0, f"initial weight {name}")
    return rng.standard_normal(shape, np.float32) * np.float32(deviation)


def draw_uniform(name: str, shape: tuple[int, ...], bound: float, seed: int) -> np.ndarray:
    """Draws float32 values uniformly between -bound and bound."""
    rng = stream(seed, 0, f"initial weight {name}")
    return rng.uniform(-bound, bound, shape).astype(np.float32)


def make_constant(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Makes the initial value of a parameter of one axis: a norm starts as the identity, and a bias is zero."""
    # Only norms have weights of one axis.
    is_one = name.endswith((".weight", ".running_var"))
    return np.ones(shape, np.float32) if is_one else np.zeros(shape, np.float32)


def draw_swin_weight(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Draws a Swin's parameter: normal with a deviation of 0.02, and its first layer, of patches, as PyTorch does."""
    if name.endswith("relative_position_bias_table"):
        return draw_normal(name, shape, 0.02, seed)
    if ".patch_embed.proj." in name:
        return draw_uniform(name, shape, 1 / math.sqrt(3 * 4 * 4), seed)
    return make_constant(name, shape) if len(shape) < 2 else draw_normal(name, shape, 0.02, seed)
