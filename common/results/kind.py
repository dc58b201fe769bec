"""The contract of a kind of result.

The commands, the trainer and the benchmarks know results by this contract alone. A new kind is a file in this folder
with an object that fulfils `ResultKind`, and a family whose record gives that object.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import numpy as np

from common.evaluation.breakdown import Breakdown
from common.results.drawing import ALL_PARTS, Parts

if TYPE_CHECKING:
    from common.data.coco import CocoDataset

# One object of a results file, as JSON holds it; it has an "image_id".
Entry = dict[str, Any]
# The entries of a data set's images in the order of the images, by what they are rated for: "box", "mask".
Results = dict[str, list[Entry]]
# What a rating gives, by the same names: the figures by their own names, in percent; NaN where nothing could be rated.
Figures = dict[str, dict[str, float]]
# What stands behind the figures, by the same names.
Breakdowns = dict[str, Breakdown]


def _no_breakdowns(results: Results, figures: Figures) -> Breakdowns:
    return {}


@dataclass(frozen=True)
class Rating:
    """A function that gives the figures of results, and a line to print with them, if there is anything to say.

    note: what the figures are of, where that is not just the data set's annotations. analyse: gives what stands behind
    the figures of results that have been rated.
    """

    rate: Callable[[Results], Figures]
    note: str = ""
    analyse: Callable[[Results, Figures], Breakdowns] = _no_breakdowns

    def __call__(self, results: Results) -> Figures:
        """The figures of the results."""
        return self.rate(results)


class Classes(NamedTuple):
    """The classes of a model: their names, and each one's id in the data set that they are from."""

    names: Sequence[str]
    category_ids: Sequence[int]


class Result(Protocol):
    """A model's prediction for one image, in the image's own pixels; image_size is its (H, W)."""

    image_size: tuple[int, int]

    def ranked(self, score_threshold: float, top_k: int) -> Self:
        """The result as it is shown and saved: without what scores less, and with the `top_k` best at most."""
        ...


@dataclass(frozen=True)
class Prediction:
    """An image outside any data set and what a model predicts of it.

    name: the name of the image's file; number: the image's position in the input, from 1; image: (H, W, 3) uint8 RGB;
    classes: those of the model; parts: what is drawn of the result.
    """

    name: str
    number: int
    image: np.ndarray
    result: Result
    classes: Classes
    parts: Parts = ALL_PARTS


@dataclass(frozen=True)
class Form:
    """A form in which the prediction of an image is saved.

    ending: the end of the file's or the folder's name, after the image's own: ".png". write: saves under a path.
    """

    ending: str
    write: Callable[[Path, Prediction], None]


@dataclass(frozen=True)
class Comparison:
    """Values of two models' results that belong together: `reference` and `other` have the same shape.

    step: by how much rounding may change one of the values, for what is decided at a threshold; share: the share of the
    values that it may change.
    """

    name: str
    reference: np.ndarray
    other: np.ndarray
    step: float = 0.0
    share: float = 1.0


class ResultKind(Protocol):
    """How one kind of result is drawn, saved, read back, rated and compared.

    name: what the results are called. rated: the names of what is rated, each of which has a results file of its own.
    """

    name: str
    rated: tuple[str, ...]

    @property
    def forms(self) -> Mapping[str, Form]:
        """The forms in which an image's prediction is saved, by name: "overlay" (a picture), "npz" and "json" at least.

        "json" is a file of the `named_entries` of one image.
        """
        ...

    def require_drawing(self) -> None:
        """Raises a `MissingPackage` where a package that `draw` needs is not installed."""
        ...

    def draw(
        self, image: np.ndarray, result: Result, class_names: Sequence[str], parts: Parts = ALL_PARTS
    ) -> np.ndarray:
        """A copy of the image (H, W, 3) uint8 RGB with the parts of the result drawn onto it."""
        ...

    def read_arrays(self, path: Path) -> tuple[Result, list[str]]:
        """The result and the names of the classes from a file of the form "npz"."""
        ...

    def named_entries(self, prediction: Prediction) -> list[Entry]:
        """The entries of an image outside any data set, which also tell the file and the classes by their names."""
        ...

    def entries(self, image_id: int, result: Result, category_ids: Sequence[int], top_k: int | None = None) -> Results:
        """The entries of an image of a data set, each list of `rated` with the `top_k` best at most.

        category_ids (C,): of the model's classes, below 0 for a class that the data set has not, which is left out.
        """
        ...

    def write_entries(self, path: Path, entries: list[Entry]) -> None:
        """Writes a results file."""
        ...

    def read_entries(self, path: Path) -> list[Entry]:
        """The entries of a results file."""
        ...

    def rating(
        self,
        dataset: "CocoDataset",
        by_reference: bool = False,
        boundaries: bool = False,
        limits: tuple[int, int, int] | None = None,
    ) -> Rating:
        """What rates results against a data set's annotations.

        by_reference: the implementation that defines the figures computes them, where there is a faster one.
        boundaries: the boundaries of masks are rated, too. limits: how many results of an image and a class count,
        where not as usual.
        """
        ...

    def lines(self, figures: Figures) -> list[str]:
        """A line for each figure, which says in full what the figure is."""
        ...

    def summary(self, figures: Figures) -> list[str]:
        """The figures line by line, in the words of the implementation that defines them."""
        ...

    def main_figures(self, figures: Figures) -> dict[str, float]:
        """The figures that are logged in training, by their full names; checkpoints are chosen by the first."""
        ...

    def compare(self, reference: Results, other: Results, dataset: "CocoDataset") -> list[Comparison]:
        """Compares the predictions of two models for the same images, piece by piece, and the figures of both."""
        ...
