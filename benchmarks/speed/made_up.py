"""Images, objects and weights for measuring: made up, and the same for all frameworks."""

import importlib
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from common.config import Settings
from common.models import initial_weights
from common.training.schedules import with_batch_size

IMAGE_SIZE = (480, 640)
OBJECTS = 7  # in a training image, as many as in one of COCO's
COUNTS = (1, 10, 100)  # of masks


def picture(rng: np.random.Generator, size: tuple[int, int] = IMAGE_SIZE) -> np.ndarray:
    """(*size, 3) uint8: soft blobs."""
    coarse = rng.integers(0, 256, (12, 16, 3)).astype(np.uint8)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)


def boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 4) xyxy float32, relative to the image."""
    corner = rng.uniform(0, 0.6, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(0.05, 0.4, (count, 2))], axis=1).astype(np.float32)


def lively_weights(
    shapes: dict[str, tuple[int, ...]], settings: Settings, seed: int, sharper: Mapping[str, float]
) -> dict[str, np.ndarray]:
    """Initial weights under which values neither vanish nor grow; `sharper`: factors on weights, by their names."""
    made = initial_weights(shapes, settings, seed)
    for name in made:
        # Norms that stand still from the start let each residual block double the variance.
        if name.endswith(("bn3.weight", "conv2.norm.weight")):
            made[name] = made[name] * np.float32(0.2)
    return made | {name: made[name] * np.float32(factor) for name, factor in sharper.items()}


def learners(framework: str, settings: Settings, batch_size: int, weights: Any) -> tuple[Any, Any]:
    """A learner that predicts and one that trains, with weights(shapes)."""
    learner_type = importlib.import_module(f"{framework}_impl.wing").WING.load_learner()
    learner = learner_type(settings, "cpu")
    made = weights(learner.shapes())
    learner.load_weights(made)
    schedule = with_batch_size(settings.schedule, batch_size)
    trained = learner_type(settings.model_copy(update={"schedule": schedule}), "cpu", training=True)
    trained.load_weights(made)
    return learner, trained
