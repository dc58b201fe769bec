"""Prepares a case: the data that it needs and no more, and weights where none are given."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.excerpts import write_excerpt, write_synthetic
from benchmarks.parity.case import WEIGHTS, Case
from benchmarks.parity.finding import GATES
from common import weights as weight_files
from common.array import Array, namespace
from common.config import Settings
from common.families import family_of
from common.models import initial_weights
from common.training.randomness import stream
from common.training.schedules import with_batch_size
from common.weights import Card

IMAGES = {"train": 64, "val": 8}
SYNTHETIC_SIZE = (240, 320)  # height, width
NORMS = ("BatchNorm", "FrozenBatchNorm")
# From drawn weights rounding grows tenfold an optimizer step, and the steps cannot be compared for long. At a tenth of
# the rate, and with norms that never make values larger, it does not grow in twenty.
DRAWN_RATE = 0.1


def prepare(
    folder: Path,
    settings: Settings,
    batch_size: int,
    data: Path | None,
    steps: int = 20,
    seed: int = 0,
    gates: Sequence[int] = tuple(GATES),
) -> Case:
    """Makes a case in `folder`, on the first images of `data`, or on a synthetic set where that is None.

    gates: those that it serves; images to train on are there only where one of them trains.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trains = bool({2, 3, 4} & set(gates))
    images = {split: count for split, count in IMAGES.items() if trains or split != "train"}
    if data is None:
        excerpt = write_synthetic(folder, settings, images, seed, SYNTHETIC_SIZE)
    else:
        excerpt = write_excerpt(data, folder / "data", settings.data_kind, images, published=settings.data_files)
    schedule = with_batch_size(settings.schedule, batch_size)
    if not Case.has_weights(folder):
        schedule = schedule.model_copy(update={"learning_rate": DRAWN_RATE * schedule.learning_rate})
    settings = settings.model_copy(update={"schedule": schedule})
    case = Case(settings, excerpt, seed, steps)
    case.save(folder)
    return case


def draw_missing_weights(case: Case, learner_class: type, folder: Path) -> None:
    """Writes a case's weights where none were given: those that training starts with, adapted to the first image."""
    if case.has_weights(folder):
        return
    learner = learner_class(case.settings, "cpu", training=True)
    weights = initial_weights(learner.shapes(), case.settings, case.seed)
    for name, weight in weights.items():
        if weight.ndim > 1 and not weight.any():  # offsets of zero: a deformable convolution would sample at its kinks
            weights[name] = 0.01 * stream(case.seed, 0, f"weight {name}").standard_normal(weight.shape, np.float32)
    learner.load_weights(weights)
    settling = _Settling()
    stages = learner.trace(case.inputs(), settling)
    weights = family_of(case.settings).parity.enliven(weights, stages)
    card = Card(
        model=case.settings.model,
        source=f"drawn for a comparison (seed {case.seed})",
        licence="none",
        preprocessing=case.settings.preprocessing,
        classes=tuple(case.validation().class_names),
        category_ids=tuple(case.validation().category_ids),
        numerics=case.settings.numerics(),
    )
    weight_files.save(folder / WEIGHTS, weights | settling.statistics, card)


class _Settling:
    """An observer that gives every norm statistics that fit its input.

    With those of fresh weights, mean 0 and variance 1, values grow from layer to layer until every score is 0 or 1.
    One variance serves a layer, for a channel that is nearly constant would be blown up by its own.
    """

    def __init__(self):
        self.statistics: dict[str, np.ndarray] = {}
        self._input: Array | None = None

    def watches(self, path: str) -> bool:
        return bool(path)

    def entering(self, path: str, kind: str, value: Any) -> None:
        if kind in NORMS:
            self._input = value

    def leaving(self, path: str, kind: str, value: Any) -> Any:
        if kind not in NORMS:
            return None
        xp = namespace(self._input)
        array = xp.to_numpy(self._input)
        mean = 0.1 * array.mean((0, 2, 3))
        variance = np.full_like(mean, max(1.0, 2.0 * np.square(array).mean()))
        self.statistics |= {f"{path}.running_mean": mean, f"{path}.running_var": variance}
        settled = (array - mean[:, None, None]) / np.sqrt(variance[:, None, None])
        return xp.asarray(settled.astype(np.float32), self._input)
