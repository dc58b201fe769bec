"""The numbers that Pebble starts from."""

import math

import numpy as np

from common.families.pebble.settings import PebbleSettings
from common.training.initial_weights import Shapes, constant_value, draw_normal, fans


def initial_weight(name: str, shapes: Shapes, settings: PebbleSettings, seed: int) -> np.ndarray:
    """Normal convolutions that keep a ReLU's variance; norms as the identity, biases zero."""
    shape = shapes[name]
    if len(shape) < 2:
        return constant_value(name, shape)
    return draw_normal(name, shape, math.sqrt(2.0 / fans(shape)[0]), seed)
