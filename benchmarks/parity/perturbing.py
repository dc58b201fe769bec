"""Perturbed runs: the reference with weights and images changed at random by some units of float32's rounding."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from benchmarks.parity.case import Arrays
from benchmarks.parity.tolerances import FACTOR
from common.training.randomness import stream

ROUNDING = 2.0**-24  # the largest relative error of a float32


def perturb(name: str, array: np.ndarray, draw: int) -> np.ndarray:
    """x (1 + FACTOR * ROUNDING * u) with u uniform in -1..1, rounded to float32; other types stay as they are."""
    if array.dtype != np.float32:
        return array
    factors = stream(draw, 0, f"perturbed {name}").random(array.shape, np.float32)
    factors -= np.float32(0.5)
    factors *= np.float32(2.0 * FACTOR * ROUNDING)
    factors *= array
    return array + factors


def perturb_weights(weights: Arrays, draw: int) -> Arrays:
    return {name: perturb(name, array, draw) for name, array in weights.items()}


def perturb_image(batch: Arrays, draw: int) -> Arrays:
    """The batch with another image; what was computed from the annotations stays."""
    return batch | {"image": perturb("image", batch["image"], draw)}


@contextmanager
def perturbed(learner: Any, draw: int) -> Iterator[None]:
    """The learner has perturbed weights within the block, and those that it had after it."""
    weights = learner.weights()
    learner.load_weights(perturb_weights(weights, draw))
    try:
        yield
    finally:
        learner.load_weights(weights)
