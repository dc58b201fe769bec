"""The model families, one folder each: everything about a family that is not network.

A family is added by its folder here, whose `family.py` holds its record `FAMILY`, and by a file of its name with its
network in each wing. Whoever needs to know what a family does asks its record: nobody else knows the families' names.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from common.array import Array
from common.config import Settings
from common.results import Instances
from common.training.initial_weights import Shapes

# A family may also lie outside of this project: see CONTRIBUTING.md.
__path__ = pkgutil.extend_path(__path__, __name__)


class Predict(Protocol):
    """Finds the instances in images (N, 3, H, W) with a network: one entry an image, in the image's own pixels.

    inputs: the other arrays of a batch for prediction, in NumPy; instances of lower scores than the threshold go.
    """

    def __call__(
        self, network: Any, image: Array, inputs: Mapping[str, np.ndarray], score_threshold: float
    ) -> list[Instances]: ...


@dataclass(frozen=True)
class Family:
    """What the rest of the house asks a family for.

    network: the name of its network's class in the wings' files `FAMILY.py`.
    settings: the class of its settings.
    samples: its module of samples, with `Training`, `Inference`, `prepare` and `join`; see `common/data/samples.py`.
    losses: a network and a training batch -> the weighted terms of the loss by their names.
    predict: see `Predict`.
    stages: a network, images and other inputs in NumPy -> every named stage of the computation, as arrays.
    initial_weight: a parameter's name, the shapes of all parameters, the settings and the seed -> its first value.
    """

    network: str
    settings: type[Settings]
    samples: ModuleType
    losses: Callable[[Any, Mapping[str, Array]], dict[str, Array]]
    predict: Predict
    stages: Callable[[Any, Array, Mapping[str, np.ndarray]], dict[str, Array | np.ndarray]]
    initial_weight: Callable[[str, Shapes, Settings, int], np.ndarray]


def family_of(settings: Settings) -> Family:
    """The record of a model's family."""
    return family_named(settings.family)


@cache
def family_named(name: str) -> Family:
    """The record of the family in the folder of this name."""
    return importlib.import_module(f"common.families.{name}.family").FAMILY


@cache
def family_names() -> tuple[str, ...]:
    """The names of all families: the folders in this one, and in others that the package's search path names."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg))
