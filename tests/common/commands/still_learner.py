"""A learner for the commands, and a wing that has it, which need no framework."""

from collections.abc import Callable

import numpy as np

from common.config import Settings
from common.results import Instances
from common.wing import Wing
from weights_convert import family_of, fit_for_training, model_of, open_weights


def wing_with(load_learner: Callable[[], type]) -> Wing:
    """A wing of no framework, whose learner is what `load_learner` gives when a command asks for it."""
    return Wing("fake", load_learner, model_of, open_weights, fit_for_training)


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


class TwoObjectsLearner(StillLearner):
    """Finds two objects in every image, or what `answers` yields."""

    answers = None

    def predict(self, inputs, score_threshold=0.0):
        sizes = [tuple(size) for size in inputs["original_size"].tolist()]
        if self.answers is not None:
            return [next(self.answers) for _ in sizes]
        return [two_objects(size)[np.array([0.9, 0.3]) > score_threshold] for size in sizes]


def two_objects(size):
    masks = np.zeros((2, *size), bool)
    masks[0, 10:40, 10:50] = True
    masks[1, 50:80, 60:100] = True
    boxes = np.float32([[10, 10, 50, 40], [60, 50, 100, 80]])
    return Instances(size, boxes, np.float32([0.9, 0.3]), np.array([1, 0]), masks)
