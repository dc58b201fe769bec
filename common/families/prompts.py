"""Prompts: what some families' models are told beside an image, such as the key points of the persons in it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from common.config import Settings

# What a model is told beside one image: arrays by their names, which join the image's sample.
Prompt = dict[str, np.ndarray]


class PromptFile(Protocol):
    """The prompts that a file holds for the images of a data set, by image id.

    The family's `samples.Inference` takes it as a third argument, in place of what is annotated in the data set.
    """

    def check(self, image_ids: np.ndarray, origin: Path) -> None:
        """Refuses prompts of which none belongs to an image, by its id (I,), of the data set `origin`."""

    def summary(self, image_ids: np.ndarray) -> str:
        """How many prompts there are for the images of these ids (I,), in words."""


@dataclass(frozen=True)
class Prompts:
    """The prompts of a family.

    noun: what they are, such as `key points`.
    option: the option by which the commands are given a file of them, such as `--keypoints`.
    help: of that option, by the command's name; commands that are not named do not have it.
    target: what the prompts tell of, such as `persons`.
    annotated: what they are called where no file is given and those of the data set are taken.
    open_file: a file and the settings -> the prompts of a data set's images.
    find_by_name: a file, the names of all images and the settings -> a function: an image's name -> its prompt.
    check: what `Predictor.predict` is given, or None, and the settings -> the prompt.
    """

    noun: str
    option: str
    help: Mapping[str, str]
    target: str
    annotated: str
    open_file: Callable[[Path, Settings], PromptFile]
    find_by_name: Callable[[Path, Sequence[str], Settings], Callable[[str], Prompt]]
    check: Callable[[Any, Settings], Prompt]
