"""Where the train command's data come from: a folder in COCO's format, or whatever else a wing offers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from common.config import DataKind
from common.data.coco import CocoDataset, resolve
from common.errors import UserError
from common.families import Family


class DataSource(Protocol):
    """The data sets to train models on, and to rate them on while they train.

    name: what the weights' card says that they were trained on.
    """

    @property
    def name(self) -> str: ...

    def training(self, family: Family, kind: DataKind) -> CocoDataset:
        """Opens the data set of this kind of annotations that models of a family are trained on."""

    def validation(self, family: Family, kind: DataKind, say: Callable[[str], None]) -> dict[str, CocoDataset]:
        """Opens the data sets to rate on, by name; that of the data set to train on has the name "".

        Where there is no such one, `say` is told why.
        """


@dataclass(frozen=True)
class Folder:
    """A data set's folder, or one that holds several as that of the family's original does."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.resolve().name

    def training(self, family: Family, kind: DataKind) -> CocoDataset:
        return resolve(self._root(family), "train", kind, family.settings.data_kinds[kind])

    def validation(self, family: Family, kind: DataKind, say: Callable[[str], None]) -> dict[str, CocoDataset]:
        found, published = {}, family.settings.data_kinds[kind]
        try:
            found[""] = resolve(self._root(family), "val", kind, published)
        except UserError as error:
            say(str(error))
        layout = family.data_layout
        for part in layout.also_rated if layout else ():
            if (self.path / part.folder).is_dir():
                found[part.name] = resolve(self.path / part.folder, part.split, kind, published)
        return found

    def _root(self, family: Family) -> Path:
        """The folder to train on."""
        return family.data_layout.root(self.path) if family.data_layout else self.path
