"""A wing, which is a framework's implementation, as the commands and `Predictor` are handed it; a model opened in it.

`common` imports no wing and no converter of checkpoints: each wing names its own in `X_impl/wing.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from common.config import Settings
from common.models import load_settings
from common.weights import Card, check_fit, with_card

if TYPE_CHECKING:
    from common.data.sources import DataSource

Weights = dict[str, np.ndarray]


class Start(Protocol):
    """The arrays, by canonical name, that a run starts from, and an account of the weights that it does not keep."""

    weights: Weights

    def summary(self) -> str:
        """Says in a few words what was not kept; empty where everything was."""

    def lines(self) -> list[str]:
        """Lists the classes that were kept and those that are drawn afresh, by their names."""


class FitForTraining(Protocol):
    """Fits weights of `origin`, which know `known_classes`, to a network of `classes` that is about to be trained.

    drawn: the network's initial numbers, by canonical name, from which every class that the weights do not know takes
    its rows. Weights that are not the family's are refused.
    """

    def __call__(
        self,
        weights: Mapping[str, np.ndarray],
        drawn: Mapping[str, np.ndarray],
        settings: Settings,
        known_classes: Sequence[str],
        classes: Sequence[str],
        origin: str,
    ) -> Start: ...


@dataclass(frozen=True)
class DataFormat:
    """A format of a framework's own from which its wing trains in place of a folder in COCO's format.

    option: of the train command, such as `--mindrecord`; its value is a folder.
    help: what the option says of it.
    source: the folder -> what it holds, which is looked for when it is needed.
    """

    option: str
    help: str
    source: Callable[[str], "DataSource"]


@dataclass(frozen=True)
class Wing:
    """A framework and the formats of checkpoints, as far as the commands and `Predictor` need them.

    framework: its name; the wing's package is called FRAMEWORK_impl.
    load_learner: imports the framework and gives the wing's `Learner`. `--help` and the loader's workers, which import
        a command's module again, do without it.
    model_of: a file of weights -> the variant that its card or its name tells, or None.
    open_weights: a file of weights of any known format, and settings -> canonical weights and their card.
    fit_for_training: see `FitForTraining`.
    data_formats: the formats of data that the framework has of its own.
    """

    framework: str
    load_learner: Callable[[], type]
    model_of: Callable[[Path], str | None]
    open_weights: Callable[[Path, Settings], tuple[Weights, Card]]
    fit_for_training: FitForTraining
    data_formats: tuple[DataFormat, ...] = ()


def open_model(
    wing: Wing, model: str, weights: Path, overrides: Sequence[str] = (), device: str = "auto"
) -> tuple[Any, Settings, Card]:
    """A learner with the weights of a file, its settings, and the card that goes with the weights."""
    settings = load_settings(model, overrides)
    arrays, card = wing.open_weights(weights, settings)
    settings = with_card(settings, card, str(weights), overrides)
    learner = wing.load_learner()(settings, device)
    check_fit(arrays, learner.shapes(), str(weights))
    learner.load_weights(arrays)
    return learner, settings, card
