"""The numbers that Pebble starts from."""

import math

import numpy as np

from common.families.pebble.settings import PebbleSettings
from common.training.initial_weights import Shapes, compute_fans, draw_normal, make_constant


def initial_weight(name: str, shapes: Shapes, settings: PebbleSettings, seed: int) -> np.ndarray:
    """Normal convolutions that keep a ReLU's variance; norms as the identity, biases zero."""
    shape = shapes[name]
    if len(shape) < 2:
        return make_constant(name, shape)
    return draw_normal(name, shape, math.sqrt(2.0 / compute_fans(shape)[0]), seed)
