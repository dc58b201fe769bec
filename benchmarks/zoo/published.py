"""The published weights: which model a file is of, what its authors measured, and where they say so.

Each family's room has them as `published.yaml`: a list of entries with the fields of `Published`.
"""

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from common.errors import UserError
from common.families import family_names
from common.files import existing_file

NAME = "published.yaml"

Figures = dict[str, dict[str, float]]  # as the evaluate command writes them: {"mask": {"AP": 28.2}}


@dataclass(frozen=True)
class Published:
    """A published file of weights.

    file: its name. model: the variant that it is of. figures: what its authors measured, in percent. rated_on: the data
    set that they measured it on. source: the address where they say so.
    """

    file: str
    model: str
    figures: Figures
    rated_on: str
    source: str


def known_weights(further: Iterable[Path] = ()) -> list[Published]:
    """All published files of the families, in their names' order, and those of further YAML files of the same form."""
    rooms = [Path(importlib.import_module(f"common.families.{name}").__path__[0]) for name in family_names()]
    paths = [room / NAME for room in rooms if (room / NAME).is_file()]
    paths += [existing_file(path, "list of published weights") for path in further]
    return [entry for path in paths for entry in _read(path)]


def _read(path: Path) -> list[Published]:
    """The entries of one file."""
    try:
        return [Published(**entry) for entry in yaml.safe_load(path.read_text())]
    except (yaml.YAMLError, TypeError) as error:
        raise UserError(f"{path}: not a list of published weights: {error}") from None


def in_words(figures: Figures, chosen: Figures | None = None) -> str:
    """Figures in a few words, "box AP 38.6, mask AP 35.2"; those alone that `chosen` has, where it is given."""
    wanted = figures if chosen is None else chosen
    pairs = [(rated, name) for rated, values in wanted.items() for name in values if name in figures.get(rated, {})]
    values = [(f"{rated} {name}", figures[rated][name]) for rated, name in pairs]
    return ", ".join(f"{title} {value:.1f}" for title, value in values if value is not None)
