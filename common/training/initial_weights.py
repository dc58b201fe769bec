"""Drawing the numbers that training from scratch starts from: by canonical name and shape, equal in every framework.

Each name has its own stream, so that a model's other parts never shift its numbers.
"""

import math
from collections.abc import Mapping

import numpy as np

from common.training.randomness import stream

# The shapes of all parameters of a network by their canonical names.
Shapes = Mapping[str, tuple[int, ...]]


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """A weight's inputs and outputs, times its taps."""
    taps = math.prod(shape[2:])
    return shape[1] * taps, shape[0] * taps


def draw_normal(name: str, shape: tuple[int, ...], deviation: float, seed: int) -> np.ndarray:
    """Normal numbers of mean 0 and this deviation, as float32."""
    rng = stream(seed, 0, f"initial weight {name}")
    return rng.standard_normal(shape, np.float32) * np.float32(deviation)


def draw_uniform(name: str, shape: tuple[int, ...], bound: float, seed: int) -> np.ndarray:
    """Uniform numbers between -bound and bound, as float32."""
    rng = stream(seed, 0, f"initial weight {name}")
    return rng.uniform(-bound, bound, shape).astype(np.float32)


def constant_value(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Norms start as the identity; biases are zero. Only a norm has a weight of one axis."""
    is_one = name.endswith((".weight", ".running_var"))
    return np.ones(shape, np.float32) if is_one else np.zeros(shape, np.float32)
