"""A learner for the commands that needs no framework."""

import numpy as np

from common.config import Settings
from weights_convert import family_of


class StillLearner:
    """Has a model's canonical weights, and an optimizer that remembers one number; who predicts is a subclass."""

    framework, rank, world, device = "fake", 0, 1, "cpu"

    def __init__(self, settings: Settings, device: str = "auto", training: bool = False):
        self.settings = settings
        self._weights = {}

    def shapes(self):
        return family_of(self.settings).canonical_shapes(self.settings)

    def trainable(self):
        return [name for name in self.shapes() if ".running_" not in name]

    def weights(self):
        return self._weights

    def load_weights(self, weights):
        self._weights = dict(weights)

    def optimizer_state(self):
        return {"steps": np.zeros(1, np.float32)}

    def load_optimizer_state(self, state):
        pass
