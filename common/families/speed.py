"""The facts that `benchmarks.speed` needs to measure a family's models."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from common.array import Array
from common.config import Settings
from common.results import Instances

Arrays = dict[str, np.ndarray]

MASK_COUNTS = (1, 10, 100)  # of masks that are brought into an image


class MakeBatch(Protocol):
    """Makes up a batch of so many images (height, width); equal seeds give equal batches."""

    def __call__(self, settings: Any, images: int, seed: int, size: tuple[int, int]) -> Arrays: ...


class MakeTasks(Protocol):
    """Gives what is measured of a model: calls by their titles, of which the first answers with a list of Instances.

    A title begins with what is done, then a comma: "whole inference, ", which is the first, or "training step, ".

    predict: a batch for prediction -> each image's instances, with the model's network.
    train: a training batch of `Speed.batch_size` images -> one step, after which the weights are what they were.
    like: an array of the framework that is measured, for calls that compute on its arrays.
    """

    def __call__(
        self,
        predict: Callable[[Arrays], list[Instances]],
        train: Callable[[Arrays], Any],
        settings: Any,
        seed: int,
        like: Array,
    ) -> dict[str, Callable[[], Any]]: ...


def keep_weights(weights: Arrays, settings: Settings) -> Arrays:
    """The weights as they are."""
    return weights


def count_one_image(settings: Any) -> int:
    """A batch of one image."""
    return 1


def call_network(network: Any, image: Array) -> Any:
    """The network's answer to images (N, 3, H, W)."""
    return network(image)


@dataclass(frozen=True)
class Speed:
    """How the speed of a family's models is measured; every field may be left out.

    inputs: makes a batch for prediction; without it the images are those of a synthetic data set.
    batch: makes a training batch; likewise.
    batch_size: the settings -> how many images a training step that is measured takes.
    enliven: initial weights, by their names, and the settings -> weights under which about a hundred objects are found.
    tasks: what is measured; without it an inference from a batch on, and a training step.
    inside: what is inside the timer of a task that this family alone has, or measures otherwise, by how its title
        begins: "pasting of masks".
    prompted: the settings, a number of objects and a seed -> a batch for prediction of one image in which a model is
        told of so many objects; None where it finds them by itself.
    forward: a network and images (N, 3, H, W) -> the network's answer, up to where the host has a part.
    forward_title: what `forward` is called in a report.
    paste_masks: an image's instances with `probabilities`, and the settings -> their masks (N, H, W) bool in the image,
        as the host makes them; None where that is not measured by itself.
    """

    inputs: MakeBatch | None = None
    batch: MakeBatch | None = None
    batch_size: Callable[[Any], int] = count_one_image
    enliven: Callable[[Arrays, Any], Arrays] = keep_weights
    tasks: MakeTasks | None = None
    inside: Mapping[str, str] = field(default_factory=dict)
    prompted: Callable[[Any, int, int], Arrays] | None = None
    forward: Callable[[Any, Array], Any] = call_network
    forward_title: str = "the network alone"
    paste_masks: Callable[[Instances, Any], np.ndarray] | None = None
