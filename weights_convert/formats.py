"""A kind of checkpoint file: how it is recognised, read and written."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np

from common.config import Settings
from weights_convert import state_dicts, writers
from weights_convert.families import family_of
from weights_convert.state_dicts import Weights


@dataclass(frozen=True)
class Format:
    """A kind of checkpoint file, an upstream's or a framework's own, and everything that the converter does with it.

    name: as `--from` and `--to` know it.
    serves: whether it has files of a model.
    recognises: whether arrays of these names are from such a file; of all formats one alone says yes. None where the
        arrays do not tell: the file is then read as another format's.
    read: the arrays of a file, settings, and the file's name for errors -> canonical arrays; None if it is not read.
    write: canonical arrays, settings, and the file's name for errors -> the arrays of a file, in its order; None if
        it is not written.
    save: writes the file itself, of a path, the arrays and, where `saves_classes`, the names of the classes.
    endings: those that a written file may have.
    licence: the terms of the weights that are published in it.
    file_names: regular expressions for the whole name of a file without its ending, whose groups `model` and
        `iteration` say of what model the weights are and how long it was trained.
    """

    name: str
    serves: Callable[[Settings], bool]
    recognises: Callable[[Collection[str]], bool] | None = None
    read: Callable[[Mapping[str, np.ndarray], Settings, str], Weights] | None = None
    write: Callable[[Mapping[str, np.ndarray], Settings, str], Weights] | None = None
    save: Callable[..., None] | None = None
    saves_classes: bool = False
    endings: tuple[str, ...] = ()
    licence: str = "unknown"
    file_names: tuple[str, ...] = ()


def state_dict_format(
    name: str,
    endings: tuple[str, ...],
    licence: str,
    recognises: Callable[[Collection[str]], bool] | None,
    save: Callable[..., None] = writers.write_pth,
    saves_classes: bool = False,
    file_names: tuple[str, ...] = (),
    ignored: str = r"(?!)",
    current_name: Callable[[str], str] | None = None,
) -> Format:
    """The format of an upstream whose files hold state dicts, which the models' families write down as layouts.

    ignored: a regular expression for the names of arrays that the upstream's own loader passes over.
    current_name: an array's name, which may be of an older release -> the name that the layouts have.
    A format that does not recognise its files is written alone.
    """

    def serves(settings: Settings) -> bool:
        return name in family_of(settings).layouts(settings)

    def read(source: Mapping[str, np.ndarray], settings: Settings, origin: str) -> Weights:
        if current_name is not None:
            source = state_dicts.renamed(source, current_name, origin)
        family = family_of(settings)
        entries = family.layout(settings, name)
        source = state_dicts.without(source, ignored)
        return family.complete(state_dicts.read(source, entries, family.is_head, settings.model, origin), settings)

    def write(weights: Mapping[str, np.ndarray], settings: Settings, origin: str) -> Weights:
        return state_dicts.write(weights, family_of(settings).layout(settings, name), settings.model, origin)

    return Format(
        name=name,
        serves=serves,
        recognises=recognises,
        read=read if recognises else None,
        write=write,
        save=save,
        saves_classes=saves_classes,
        endings=endings,
        licence=licence,
        file_names=file_names,
    )
