"""The facts that `benchmarks.parity` needs to compare a family's models between frameworks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

Arrays = dict[str, np.ndarray]
# The usual cause of a departure by its pattern (`scale`, `noise`, ...); "" stands for any other pattern.
UsualCauses = Mapping[str, str]


def take_image_alone(batch: Mapping[str, np.ndarray], seed: int) -> Arrays:
    """The `image` (1, 3, H, W) of a batch for prediction."""
    return {"image": batch["image"]}


def keep_weights(weights: Arrays, stages: Mapping[str, np.ndarray]) -> Arrays:
    """The weights as they are."""
    return weights


def spread_scores(
    weights: Arrays, stages: Mapping[str, np.ndarray], spreads: Mapping[str, tuple[str, float]]
) -> Arrays:
    """Scales the layers of the scores, so that these have the deviations of `spreads` in the stages' image.

    spreads: by the beginning of the stages' names, the layer that gives them and their deviation.
    """
    spread = dict(weights)
    for stage, (layer, deviation) in spreads.items():
        found = [values.std() for name, values in stages.items() if name.startswith(stage)]
        for name in (f"{layer}.weight", f"{layer}.bias"):
            spread[name] = weights[name] * np.float32(deviation / np.mean(found))
    return spread


@dataclass(frozen=True)
class Parity:
    """How a family's models are compared; the defaults serve a model that takes an image and chooses nothing.

    stage_inputs: a batch for prediction of one image, and a seed -> what `Family.stages` is given.
    enliven: weights that were drawn, by their names, and the stages that they give -> the weights to compare with,
        under which a model finds something and its scores lie so far apart that rounding does not order them.
    row_keys: by the name of a choice (see `common.training.choices`) the field that tells its rows apart; rows of equal
        keys are compared. Without one the rows are compared in their order.
    steady_rate: a learning rate under which rounding stays small in fifty steps.
    causes_by_class: what usually causes a departure of a module, by the module's class.
    causes_by_name: the same by the last part of a name, or by the whole name, of what is no module: a stage, a choice.
    """

    stage_inputs: Callable[[Mapping[str, np.ndarray], int], Arrays] = take_image_alone
    enliven: Callable[[Arrays, Mapping[str, np.ndarray]], Arrays] = keep_weights
    row_keys: Mapping[str, str] = field(default_factory=dict)
    steady_rate: float = 1e-5
    causes_by_class: Mapping[str, UsualCauses] = field(default_factory=dict)
    causes_by_name: Mapping[str, UsualCauses] = field(default_factory=dict)
