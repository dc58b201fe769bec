"""The work that is measured of a model: the tasks that its family names, or an inference and a training step."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import Any

from benchmarks.ops import first_array
from benchmarks.speed.made_up import Arrays, make_batch, make_inputs, make_learners
from benchmarks.speed.measuring import Task
from common.array import Array
from common.config import Settings
from common.families import family_of
from common.results import Instances


@dataclass
class ModelWork:
    """The tasks of a model, on one image and a small batch."""

    settings: Settings
    seed: int
    shortest_repetition = 0.2

    @property
    def title(self) -> str:
        """The size of the network's images."""
        height, width = make_inputs(self.settings, 1, self.seed)["image"].shape[2:]
        return f"{width} pixels" if height == width else f"{height} x {width} pixels"

    def tasks(self, framework: str) -> dict[str, Task]:
        """The tasks in their order, with the networks of a framework."""
        family_speed = family_of(self.settings).speed
        batch_size = family_speed.batch_size(self.settings)
        learner, trained = make_learners(framework, self.settings, batch_size, self.seed)
        make_tasks = family_speed.tasks or partial(make_plain_tasks, batch_size=batch_size)
        train = partial(train_without_moving, trained)
        calls = make_tasks(learner.predict, train, self.settings, self.seed, first_array(framework))
        return {title: Task(lambda _, call=call: call(), repeat(None)) for title, call in calls.items()}


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
