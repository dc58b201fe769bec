"""The model families, one folder each: everything about a family that is not network.

A family is added by its folder here, whose `family.py` holds its record `FAMILY`, and by a file of its name with its
network in each wing. Whoever needs to know what a family does asks its record: nobody else knows the families' names.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from common.array import Array
from common.config import Settings
from common.families.config_files import ConfigFiles
from common.families.data_layout import DataLayout
from common.families.parity import Parity
from common.families.prompts import Prompts
from common.families.speed import Speed
from common.results import Instances, Result, ResultKind
from common.training.choices import Choose
from common.training.initial_weights import Shapes
from common.training.ranks import SumOverRanks

# A family may also lie outside of this project: see CONTRIBUTING.md.
__path__ = pkgutil.extend_path(__path__, __name__)


class Losses(Protocol):
    """Computes the weighted terms of the loss, by their names, of a rank's part of a training batch with a network.

    The sums of the terms over all ranks are those of the whole batch. What they are divided by stands in the batch,
    summed over the ranks, where its array is called `normaliser.NAME`; what is only known in the middle of the step is
    summed by `sum_over_ranks`, which each rank must call equally often, whatever it finds.
    choose: says with what the step goes on where it chooses from rounded numbers; see `common.training.choices`.
    """

    def __call__(
        self, network: Any, batch: Mapping[str, Array], choose: Choose, sum_over_ranks: SumOverRanks
    ) -> dict[str, Array]: ...


class Predict(Protocol):
    """Predicts images (N, 3, H, W) with a network: a result of the family's kind for each, in the image's own pixels.

    inputs: the other arrays of a batch for prediction, in NumPy; objects of lower scores than the threshold go.
    """

    def __call__(
        self, network: Any, image: Array, inputs: Mapping[str, np.ndarray], score_threshold: float
    ) -> Sequence[Result]: ...


@dataclass(frozen=True)
class Family:
    """A model family's answers to everything that the rest of the project asks about it.

    network: the name of its network's class in the wings' files `FAMILY.py`.
    settings: the class of its settings.
    samples: its module of samples, with `Training`, `Inference`, `prepare` and `join`; see `common/data/samples.py`.
    losses: see `Losses`.
    predict: see `Predict`.
    stages: a network, images and other inputs in NumPy -> every named stage of the computation, as arrays.
    results: the settings -> the kind of result that `predict` gives; see `common/results/kind.py`.
    initial_weight: a parameter's name, the shapes of all parameters, the settings and the seed -> its first value.
    finds: what its models find, as in `models that find objects`.
    prompts: what its models must be told beside an image, where the image alone is not enough.
    data_layout: the data folder of its original, where that holds several data sets.
    config_files: the configuration files of an original, where the commands read them.
    heat_maps: N instances with `probabilities`, and the settings -> (N, H, W) float32, the probability in each pixel of
        the image that it belongs to the instance; None where a model has no such probabilities.
    chooses_points: whether its instances tell at which points their masks were computed anew.
    models: the variants that are compared and measured where none is named, the one that has everything last.
    parity: how its models are compared between frameworks.
    speed: how their speed is measured.
    """

    network: str
    settings: type[Settings]
    samples: ModuleType
    losses: Losses
    predict: Predict
    stages: Callable[[Any, Array, Mapping[str, np.ndarray]], dict[str, Array | np.ndarray]]
    results: Callable[[Settings], ResultKind]
    initial_weight: Callable[[str, Shapes, Settings, int], np.ndarray]
    finds: str = "objects"
    prompts: Prompts | None = None
    data_layout: DataLayout | None = None
    config_files: ConfigFiles | None = None
    heat_maps: Callable[[Instances, Settings], np.ndarray] | None = None
    chooses_points: bool = False
    models: tuple[str, ...] = ()
    parity: Parity = field(default_factory=Parity)
    speed: Speed = field(default_factory=Speed)


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


def family_records() -> tuple[Family, ...]:
    """The records of all families, by their names' order."""
    return tuple(map(family_named, family_names()))


def families_by_kind() -> dict[str, Family]:
    """A family of each kind of annotations, which are the same for all families of it."""
    return {kind: family for family in family_records() for kind in family.settings.data_kinds}


def known_config_files() -> tuple[ConfigFiles, ...]:
    """The configuration files that the families know, each original's once."""
    found: list[ConfigFiles] = []
    for family in family_records():
        if family.config_files and family.config_files not in found:
            found.append(family.config_files)
    return tuple(found)


def config_files_of(path: Path) -> ConfigFiles | None:
    """The record of the original whose configuration a YAML file is; None for a file of ours, and for any other."""
    if path.suffix == ".py":
        return None
    return next((files for files in known_config_files() if files.recognise(path)), None)
