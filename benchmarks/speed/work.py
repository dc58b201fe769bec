"""The work that is measured of a model: inference and its parts, a training step, the loader, the rating of results."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count, repeat
from pathlib import Path
from typing import Any

from benchmarks.excerpts import write_synthetic
from benchmarks.ops import first_array
from benchmarks.speed.forward import make_forward
from benchmarks.speed.made_up import Arrays, make_batch, make_inputs, make_learners
from benchmarks.speed.measuring import Figures, Task
from common.array import Array
from common.config import Settings
from common.data.coco import CocoDataset, resolve
from common.data.made_up import IMAGE_SIZE
from common.evaluation.inference import predict_dataset
from common.families import family_of
from common.results import Instances
from common.training.randomness import stream

FORWARD, POST_PROCESSING = "forward, batch 1", "post-processing, batch 1"
RATED_IMAGES = 4

# What is inside the timer, by the beginning of a task's title; a family's record says it of tasks of its own.
INSIDE = {
    "forward": "from prepared images in memory to the network's outputs",
    "post-processing": "whole inference less forward, repetition by repetition: all that follows the network's outputs,"
    " a two-stage model's heads on its regions too",
    "whole inference": "from prepared images in memory to scores, boxes and masks in the images' size",
    "training step": "from a prepared batch in memory to updated weights: losses, gradients, optimizer",
    "loader": "reading, decoding, augmenting and matching the images of a batch, in the process itself",
    "evaluation": "rating the results in memory against the annotations of a data set that is open",
}


@dataclass
class ModelWork:
    """The tasks of a model, on one image and a small batch.

    data: the synthetic set that `write_data` has written.
    """

    settings: Settings
    seed: int
    data: Path
    shortest_repetition = 0.2

    @property
    def title(self) -> str:
        """The size of the network's images."""
        height, width = make_inputs(self.settings, 1, self.seed)["image"].shape[2:]
        return f"{width} pixels" if height == width else f"{height} x {width} pixels"

    def tasks(self, framework: str) -> dict[str, Task]:
        """The tasks in their order, with the networks of a framework; that of the forward pass is `FORWARD`."""
        family_speed = family_of(self.settings).speed
        batch_size = family_speed.batch_size(self.settings)
        learner, trained = make_learners(framework, self.settings, batch_size, self.seed)
        make_tasks = family_speed.tasks or partial(make_plain_tasks, batch_size=batch_size)
        train = partial(train_without_moving, trained)
        calls = make_tasks(learner.predict, train, self.settings, self.seed, first_array(framework))
        calls[FORWARD] = make_forward(learner, make_inputs(self.settings, 1, self.seed)["image"])
        calls[f"loader, batch {batch_size}"] = _make_loading(self.settings, self._open("train"), batch_size)
        rating = _make_rating(learner, self.settings, self._open("val"))
        calls[f"evaluation, {RATED_IMAGES} images"] = rating
        batches = {"training step": batch_size, "loader": batch_size, "evaluation": RATED_IMAGES}
        return {
            title: Task(
                lambda _, call=call: call(),
                repeat(None),
                {"batch": batches.get(title.partition(",")[0], 1), "inside": describe_inside(self.settings, title)},
            )
            for title, call in calls.items()
        }

    def _open(self, split: str) -> CocoDataset:
        return resolve(self.data, split, self.settings.data_kind)


def write_data(folder: Path, settings: Settings, seed: int) -> Path:
    """Writes a synthetic set with images to load for a training batch, and a few to rate the results of -> its folder.

    Some images hold no object and are not trained on, so that twice as many are made.
    """
    batch_size = family_of(settings).speed.batch_size(settings)
    counts = {"train": 2 * batch_size + 8, "val": RATED_IMAGES}
    return write_synthetic(folder, settings, counts, seed, IMAGE_SIZE)


def describe_inside(settings: Settings, title: str) -> str:
    """What is inside the timer of the task of this title."""
    family_speed = family_of(settings).speed
    text = (INSIDE | dict(family_speed.inside))[title.partition(",")[0]]
    return f"{family_speed.forward_title}: {text}" if title == FORWARD else text


def add_post_processing(found: dict[str, Figures], settings: Settings) -> None:
    """Adds to each framework's figures what its whole inference, the first task, takes longer than the forward pass."""
    for figures in found.values():
        if "error" in figures:
            continue
        whole = next(iter(figures["seconds"]))
        for quantity in ("seconds", "cpu_seconds"):
            pairs = zip(figures[quantity][whole], figures[quantity][FORWARD], strict=True)
            figures[quantity][POST_PROCESSING] = [total - forward for total, forward in pairs]
        facts = {"batch": 1, "inside": describe_inside(settings, POST_PROCESSING)}
        figures["facts"][POST_PROCESSING] = facts


def train_without_moving(learner: Any, batch: Arrays) -> None:
    """A training step at rate 0: the weights stay what they are, at the same cost."""
    learner.train_step(batch, 0.0)


def make_plain_tasks(
    predict: Callable[[Arrays], list[Instances]],
    train: Callable[[Arrays], Any],
    settings: Settings,
    seed: int,
    like: Array,
    batch_size: int,
) -> dict[str, Callable[[], Any]]:
    """The tasks of a family that names none; see `common.families.speed.MakeTasks`."""
    inputs, batch = make_inputs(settings, 1, seed), make_batch(settings, batch_size, seed)
    return {
        "whole inference, batch 1": lambda: predict(inputs),
        f"training step, batch {batch_size}": lambda: train(batch),
    }


def _make_loading(settings: Settings, dataset: CocoDataset, batch_size: int) -> Callable[[], Any]:
    """A call that makes a training batch of the first images of a data set, with another augmentation each time."""
    samples = family_of(settings).samples.Training(dataset, settings)
    steps = count()

    def load() -> None:
        step = next(steps)
        samples.collate([samples(index, stream(index, step, "augmentation")) for index in range(batch_size)])

    return load


def _make_rating(learner: Any, settings: Settings, dataset: CocoDataset) -> Callable[[], Any]:
    """A call that rates what a learner predicts for a data set; the predictions are made here."""
    family = family_of(settings)
    kind, samples = family.results(settings), family.samples.Inference(dataset, settings)
    results = predict_dataset(learner, settings, dataset, samples, kind, batch_size=1, workers=0)
    return lambda: kind.rating(dataset)(results)
