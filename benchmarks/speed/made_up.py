"""Batches, weights and learners for measuring: made up, and the same for all frameworks."""

import importlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.excerpts import write_synthetic
from common.config import Settings
from common.data.coco import resolve
from common.data.made_up import IMAGE_SIZE
from common.families import family_of
from common.models import initial_weights
from common.training.schedules import with_batch_size

Arrays = dict[str, np.ndarray]


def make_inputs(settings: Settings, images: int, seed: int, size: tuple[int, int] = IMAGE_SIZE) -> Arrays:
    """A batch for prediction of so many made-up images of this size (height, width)."""
    make = family_of(settings).speed.inputs
    return make(settings, images, seed, size) if make else _read_synthetic(settings, "val", images, seed, size)


def make_batch(settings: Settings, images: int, seed: int, size: tuple[int, int] = IMAGE_SIZE) -> Arrays:
    """A batch for training of so many made-up images of this size (height, width)."""
    make = family_of(settings).speed.batch
    return make(settings, images, seed, size) if make else _read_synthetic(settings, "train", images, seed, size)


def _read_synthetic(settings: Settings, split: str, images: int, seed: int, size: tuple[int, int]) -> Arrays:
    """A batch of the first images of a synthetic data set: for training of the part `train`, else for prediction."""
    with tempfile.TemporaryDirectory() as folder:
        # A few of the images hold no object, and are not trained on.
        counts = {"train": 2 * images + 8, "val": images}
        dataset = resolve(write_synthetic(Path(folder), settings, counts, seed, size), split, settings.data_kind)
        samples = family_of(settings).samples
        make = (samples.Training if split == "train" else samples.Inference)(dataset, settings)
        rng = np.random.default_rng(seed)
        return make.collate([make(index, rng) for index in range(images)])


def make_weights(shapes: dict[str, tuple[int, ...]], settings: Settings, seed: int) -> Arrays:
    """Initial weights under which values neither vanish nor grow, and a model finds something."""
    made = initial_weights(shapes, settings, seed)
    for name in made:
        # Norms that stand still from the start let each residual block double the variance.
        if name.endswith(("bn3.weight", "conv2.norm.weight")):
            made[name] = made[name] * np.float32(0.2)
    return family_of(settings).speed.enliven(made, settings)


def make_learners(framework: str, settings: Settings, batch_size: int, seed: int) -> tuple[Any, Any]:
    """A framework's learner that predicts and one that trains on batches of this size, with equal weights."""
    learner_type = importlib.import_module(f"{framework}_impl.wing").WING.load_learner()
    learner = learner_type(settings, "cpu")
    weights = make_weights(learner.shapes(), settings, seed)
    learner.load_weights(weights)
    schedule = with_batch_size(settings.schedule, batch_size)
    trained = learner_type(settings.model_copy(update={"schedule": schedule}), "cpu", training=True)
    trained.load_weights(weights)
    return learner, trained
