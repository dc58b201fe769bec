"""The models that are measured, with made-up weights, images and batches."""

from typing import Any

import numpy as np

from benchmarks.gpu.parts import SEED
from benchmarks.speed.made_up import make_batch, make_inputs, make_weights
from common.config import FreeSizePreprocessing, Settings
from common.data.made_up import IMAGE_SIZE
from common.models import load_settings
from common.training.schedules import with_batch_size
from torch_impl.learner import Learner


class Model:
    """A model on a device: its learners, and batches of so many images."""

    def __init__(self, name: str, device: str):
        self.settings: Settings = load_settings(name)
        self.device = device
        self._weights: dict[str, np.ndarray] | None = None

    def learner(self, images: int = 1, training: bool = False) -> Learner:
        """A learner for batches of so many images, with the model's made-up weights."""
        schedule = with_batch_size(self.settings.schedule, images)
        settings = self.settings.model_copy(update={"schedule": schedule})
        made = Learner(settings, self.device, training)
        if self._weights is None:
            self._weights = make_weights(made.shapes(), self.settings, SEED)
        made.load_weights(self._weights)
        return made

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """The weights that every learner is given."""
        if self._weights is None:
            self.learner()
        return self._weights

    def inputs(self, images: int) -> dict[str, Any]:
        """A batch for prediction."""
        return make_inputs(self.settings, images, SEED, self._picture_size())

    def batch(self, images: int) -> dict[str, Any]:
        """A batch for training."""
        return make_batch(self.settings, images, SEED, self._picture_size())

    def _picture_size(self) -> tuple[int, int]:
        """Height and width: where a network takes any size, those at which it is given pictures unchanged."""
        preprocessing = self.settings.preprocessing
        if isinstance(preprocessing, FreeSizePreprocessing):
            return preprocessing.short_side, preprocessing.long_side
        return IMAGE_SIZE
