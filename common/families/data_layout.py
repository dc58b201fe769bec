"""The data folder of a family's original, where it holds several data sets, and the protocols that rate on them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from common.data.coco import Split


@dataclass(frozen=True)
class DataPart:
    """A split of one of the data sets in the data folder.

    name: what results and figures on it are called.
    folder: the data set's own, in the data folder.
    """

    name: str
    folder: str
    split: "Split"

    def root(self, data: Path) -> Path:
        """Finds the data set's folder: its own in `data`, or `data` itself if there is no such folder."""
        return _inner_or_outer(data, self.folder)


@dataclass(frozen=True)
class Protocol:
    """An option of the evaluate command, such as `--coco`, that rates a model on parts of the data."""

    option: str
    help: str
    parts: tuple[DataPart, ...]


@dataclass(frozen=True)
class DataLayout:
    """The data sets that a family's original trains and rates its models on.

    folder: of the one to train on, in the data folder; on its validation part the weights are rated in training.
    also_rated: the parts on which they are rated, too, where their folders are there.
    protocols: the ways in which the original rates a trained model.
    """

    folder: str
    also_rated: tuple[DataPart, ...] = ()
    protocols: tuple[Protocol, ...] = ()

    def root(self, data: Path) -> Path:
        """Finds the folder of the data set to train on: its own in `data`, or `data` itself."""
        return _inner_or_outer(data, self.folder)


def _inner_or_outer(data: Path, folder: str) -> Path:
    inner = data / folder
    return inner if inner.is_dir() else data
