"""Prepares a case: the data that it needs and no more, and weights where none are given."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.excerpts import write_excerpt, write_synthetic
from benchmarks.parity.case import STEPS, WEIGHTS, Arrays, Case
from benchmarks.parity.finding import GATES
from common import weights as weight_files
from common.array import Array, namespace
from common.config import Settings
from common.families import family_of
from common.models import initial_weights
from common.training.randomness import stream
from common.training.schedules import with_batch_size
from common.weights import Card

IMAGES = {"train": 64, "val": 4}
SYNTHETIC_SIZE = (240, 320)  # height, width
NORMS = ("BatchNorm", "SyncBatchNorm", "FixedBatchNorm", "FrozenBatchNorm")
CHANNEL_AXES = {"LayerNorm": -1, "GroupNorm": 1}  # of the norms without statistics


def prepare(
    folder: Path,
    settings: Settings,
    batch_size: int,
    data: Path | None,
    steps: int = STEPS,
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
    # Under a warm-up's rate the first steps move most weights by less than float32 can tell.
    schedule = with_batch_size(settings.schedule, batch_size).model_copy(update={"warmup_iterations": 0})
    if not Case.has_weights(folder):
        # From drawn weights the published rates go astray, or rounding grows tenfold a step.
        schedule = schedule.model_copy(update={"learning_rate": family_of(settings).parity.steady_rate})
    settings = settings.model_copy(update={"schedule": schedule})
    case = Case(settings, excerpt, seed, steps)
    case.save(folder)
    return case


def draw_missing_weights(case: Case, learner_class: type, folder: Path) -> None:
    """Writes a case's weights where none were given: those that training starts with, adapted to the first image.

    Whatever is constant in these, as biases, norms and offsets are, is drawn too, so that each array moves an output.
    """
    if case.has_weights(folder):
        return
    learner = learner_class(case.settings, "cpu", training=True)
    weights = initial_weights(learner.shapes(), case.settings, case.seed)
    for name, weight in weights.items():
        deviation = _other_deviation(name, weight)
        if deviation is not None:
            drawn = stream(case.seed, 0, f"weight {name}").standard_normal(weight.shape, np.float32)
            weights[name] = np.float32(deviation) * drawn
    learner.load_weights(weights)
    filling = _Filling(weights, case.seed)
    stages = learner.trace(case.inputs(), filling)
    weights = family_of(case.settings).parity.enliven(weights | filling.drawn, stages)
    card = Card(
        model=case.settings.model,
        source=f"drawn for a comparison (seed {case.seed})",
        licence="none",
        preprocessing=case.settings.preprocessing,
        classes=tuple(case.validation().class_names),
        category_ids=tuple(case.validation().category_ids),
        numerics=case.settings.numerics(),
    )
    weight_files.save(folder / WEIGHTS, weights, card)


def _other_deviation(name: str, weight: np.ndarray) -> float | None:
    """The deviation with which a fresh weight is drawn anew; None for one that stays as training starts with it."""
    # The logits of fresh attention are nearly 0: it is the mean of a window's tokens, whatever and wherever they are.
    if name.endswith(".relative_position_bias_table"):
        return 0.5
    if name.endswith(".attn.qkv.weight"):
        return 0.4 / math.sqrt(weight.shape[1])
    # They are no layer's that runs, whose output could tell how large they are to be.
    if name.endswith(".in_proj.bias"):
        return 0.2
    # Offsets of zero: a deformable convolution would sample at its kinks.
    return 0.01 if weight.ndim > 1 and not weight.any() else None


class _Filling:
    """An observer that draws norms and the biases that are zero, as large as the values that they meet.

    A norm gets statistics that fit its input. With those of fresh weights, mean 0 and variance 1, values grow from
    layer to layer until every score is 0 or 1. Its variances lie around one for the whole layer, for a channel that is
    nearly constant would be blown up by its own.
    """

    def __init__(self, weights: Arrays, seed: int):
        self._weights, self._seed = weights, seed
        self.drawn: Arrays = {}
        self._inputs: list[Any] = []  # of the modules that are at work within each other

    def watches(self, path: str) -> bool:
        return bool(path)

    def entering(self, path: str, kind: str, value: Any) -> None:
        self._inputs.append(value)

    def leaving(self, path: str, kind: str, value: Any) -> Any:
        given = self._inputs.pop()
        if kind in NORMS:
            return self._fill_norm(path, given)
        if kind in CHANNEL_AXES:
            return self._fill_scale(path, value, CHANNEL_AXES[kind])
        bias = self._weights.get(f"{path}.bias")
        return value if bias is None or bias.any() else self._fill_bias(path, value)

    def _fill_norm(self, path: str, given: Array) -> Array:
        """Draws a norm for its input (N, C, H, W) unless an earlier call did; gives what it makes of the input."""
        xp = namespace(given)
        array = xp.to_numpy(given)
        if f"{path}.weight" not in self.drawn:
            variance = max(1.0, 2.0 * np.square(array).mean())
            channels = array.shape[1]
            self.drawn |= {
                f"{path}.running_mean": 0.1 * array.mean((0, 2, 3)),
                f"{path}.running_var": np.float32(variance) * self._uniform(f"{path}.running_var", channels, 0.8, 1.25),
                f"{path}.weight": self._uniform(f"{path}.weight", channels, 0.7, 1.1),
                f"{path}.bias": self._uniform(f"{path}.bias", channels, -0.2, 0.2),
            }
        mean, variance, scale, shift = (
            self.drawn[f"{path}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        settled = (array - mean) / np.sqrt(variance) * scale + shift
        return xp.asarray(settled.astype(np.float32), given)

    def _fill_scale(self, path: str, value: Array, axis: int) -> Array:
        """Draws the scale and the shift of a norm whose output had none; gives it with these.

        axis: that of the output's channels.
        """
        xp, channels = namespace(value), value.shape[axis]
        scale = self._uniform(f"{path}.weight", channels, 0.7, 1.1)
        shift = self._uniform(f"{path}.bias", channels, -0.2, 0.2)
        self.drawn |= {f"{path}.weight": scale, f"{path}.bias": shift}
        array = np.moveaxis(xp.to_numpy(value), axis, -1) * scale + shift
        return xp.asarray(np.ascontiguousarray(np.moveaxis(array, -1, axis)), value)

    def _fill_bias(self, path: str, value: Array) -> Array:
        """Draws the bias of a layer whose output (N, C, ...) or (N, ..., C) had none; gives it with the bias."""
        xp = namespace(value)
        array, name = xp.to_numpy(value), f"{path}.bias"
        if name not in self.drawn:
            bound = 0.3 * float(array.std()) or 1.0
            self.drawn[name] = self._uniform(name, len(self._weights[name]), -bound, bound)
        # A convolution's weight has its taps' axes behind those of the channels, as its output has the pixels'.
        taps = self._weights[f"{path}.weight"].ndim - 2
        return xp.asarray(array + self.drawn[name].reshape(-1, *[1] * taps), value)

    def _uniform(self, name: str, channels: int, low: float, high: float) -> np.ndarray:
        return stream(self._seed, 0, f"weight {name}").uniform(low, high, channels).astype(np.float32)
