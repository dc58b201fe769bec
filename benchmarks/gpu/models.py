"""The models that are measured, with made-up weights, images and batches."""

import importlib
from typing import Any

import numpy as np

from benchmarks.gpu.parts import SEED
from common.config import Settings
from common.models import load_settings
from common.training.schedules import with_batch_size
from torch_impl.learner import Learner

# Mask R-CNN's pictures have the size that they are given to the network in.
RCNN_SIZE, SMALL_RCNN_SIZE = (800, 1333), (128, 192)


class Model:
    """A model on a device: `learner(training)`, and the inputs of so many images."""

    def __init__(self, name: str, device: str, small: bool = False):
        self.settings: Settings = load_settings(name)
        self.device = device
        self._family = importlib.import_module(f"benchmarks.speed.{self.settings.family}")
        sized = self.settings.family == "mask_rcnn"
        self._size = {"size": SMALL_RCNN_SIZE if small else RCNN_SIZE} if sized else {}
        self._weights: dict[str, np.ndarray] | None = None

    def learner(self, images: int = 1, training: bool = False) -> Learner:
        schedule = with_batch_size(self.settings.schedule, images)
        # One whose norms stand still, as with few images a GPU.
        settings = self.settings.model_copy(update={"schedule": schedule})
        made = Learner(settings, self.device, training)
        if self._weights is None:
            self._weights = self._family.make_work(self.settings, SEED).weights(made.shapes())
        made.load_weights(self._weights)
        return made

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """What every learner is given."""
        if self._weights is None:
            self.learner()
        return self._weights

    def inputs(self, images: int) -> dict[str, Any]:
        """A batch for prediction."""
        return self._family.inputs(self.settings, images, SEED, **self._size)

    def batch(self, images: int) -> dict[str, Any]:
        """A batch for training."""
        return self._family.batch(self.settings, images, SEED, **self._size)
