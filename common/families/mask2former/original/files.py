"""Mask2Former's configuration files and the KEY VALUE pairs behind them, as settings and options of ours."""

import json
import operator
import os
import re
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from common.errors import UserError
from common.families.config_files import as_typed, flatten, nearest_key, read_content
from common.families.mask2former.original.keys import BACKBONE, KEYS, OF_OTHER_MODELS, PANOPTIC, SWIN
from common.families.mask2former.original.published import STARTS, is_published, values_of, variant_of
from common.models import load_settings

_BASE, _ARCHITECTURE, _WEIGHTS = "_BASE_", "MODEL.META_ARCHITECTURE", "MODEL.WEIGHTS"
_COMMAND_LINE = "command line"
# The names of the published files, those for other data sets and for videos among them.
_PUBLISHED = re.compile(r"(video_)?maskformer2?_(R50|R101|swin_\w+)_bs\d+_\w+")
_FETCHED = {"detectron2://": "https://dl.fbaipublicfiles.com/detectron2/"}
# The names under which the parts of COCO 2017 go.
_PARTS = {
    "train": ("coco_2017_train_panoptic", "coco_2017_train"),
    "val": ("coco_2017_val_panoptic_with_sem_seg", "coco_2017_val_panoptic", "coco_2017_val"),
}


@dataclass(frozen=True)
class Config:
    """A whole configuration.

    published: the name of the published file that it is, or is based on, if any; values: of all keys; given: where a
    key is set that is not default.
    """

    path: Path
    published: str | None
    values: dict[str, Any]
    given: dict[str, str] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """The variant that comes nearest."""
        has_swin, name = self.values[BACKBONE] == SWIN, self.published
        if name is None or ("swin" in name) != has_swin:
            name = f"maskformer2_{'swin_tiny' if has_swin else 'R50'}_bs16_50ep"
        return variant_of(name, self.values[PANOPTIC])

    def overrides(self) -> list[str]:
        """Lists as key.path=value what the command line gives, and whatever else departs from `model`."""
        base, found = load_settings(self.model), []
        for key in sorted(KEYS, key=lambda key: key not in self.given):  # what is written is what an error should name
            entry = KEYS[key]
            if entry.backbone not in (None, self.values[BACKBONE]):
                continue
            value = entry.convert(self, key) if entry.convert else self.values[key]
            if entry.path and (self.given.get(key) == _COMMAND_LINE or value != operator.attrgetter(entry.path)(base)):
                found.append(f"{entry.path}={json.dumps(value)}")
        classes = self.values["MODEL.SEM_SEG_HEAD.NUM_CLASSES"]
        if not self.values[PANOPTIC] and classes != base.things:
            found.append(f"things={classes}")
        return found

    def options(self, command: str) -> dict[str, str]:
        """The options of a command that the configuration gives, by their names in argparse."""
        names = {"MODEL.DEVICE": "device", "DATALOADER.NUM_WORKERS": "workers"}
        if command == "train":
            names |= {"OUTPUT_DIR": "output", "SEED": "seed"}
        options = {name: str(self.values[key]) for key, name in names.items() if key in self.given}
        if "device" in options:
            options["device"] = options["device"].partition(":")[0]
        if options.get("seed", "").startswith("-"):  # any
            del options["seed"]
        if command == "evaluate" and "OUTPUT_DIR" in self.given:
            options["output"] = str(Path(self.values["OUTPUT_DIR"], "inference"))
        return options

    def complete(self, arguments: Namespace, command: str) -> None:
        """Sets the data and the weights where a command takes them and the command line says nothing."""
        if "data" in arguments and arguments.data is None:
            arguments.data = self._data("train" if command == "train" else "val")
        resumes = getattr(arguments, "resume", False) or getattr(arguments, "resume_file", None)
        if arguments.weights is None and not resumes:
            arguments.weights = self.weights(command)

    def weights(self, command: str) -> Path | None:
        """MODEL.WEIGHTS; refused where it is not at hand, or knows ImageNet alone and is not to be trained."""
        name = self.values[_WEIGHTS]
        if command != "train" and (not name or Path(name).name in STARTS):
            self.refuse(_WEIGHTS, "no trained model is given; give one as MODEL.WEIGHTS FILE or --weights FILE")
        scheme, separator, rest = name.partition("://")
        if separator:
            address = _FETCHED.get(f"{scheme}://", f"{scheme}://") + rest
            self.refuse(_WEIGHTS, f"{name}: download {address} and give the file as --weights")
        if name in STARTS and self.given.get(_WEIGHTS) != _COMMAND_LINE and not Path(name).exists():
            self.refuse(_WEIGHTS, f"{name} is not here; give ImageNet's weights, as they are published, as --weights")
        return Path(name) if name else None

    def _data(self, part: str) -> Path:
        """COCO's folder, where the original looks for it."""
        key = f"DATASETS.{'TRAIN' if part == 'train' else 'TEST'}"
        names = self.values[key]
        if len(names) != 1 or names[0] not in _PARTS[part]:
            said = f"{', '.join(names)} is" if names else "nothing is given, which is"
            self.refuse(key, f"{said} not the {part} part of COCO; give a data set's folder as --data ROOT")
        folder = Path(os.environ.get("DETECTRON2_DATASETS", "datasets"), "coco")
        if not folder.is_dir():
            self.refuse(key, f"{names[0]} is looked for in {folder}: put it there or give --data ROOT")
        return folder

    def refuse(self, key: str, reason: str) -> NoReturn:
        raise UserError(f"{self.given.get(key, f'{self.path}, by default')}: {key}: {reason}")


def is_config(path: Path) -> bool:
    """Whether a YAML file is one of Mask2Former's, by what it says or is based on, or by a name of theirs."""
    try:
        return _PUBLISHED.fullmatch(path.stem) is not None or _architecture(_said(path, ())) == "MaskFormer"
    except UserError:
        return False


def read_config(path: Path, pairs: Sequence[tuple[str, str]] = ()) -> Config:
    """The file's configuration, changed by the pairs; keys and types are checked, what is implemented is not yet."""
    values, given = {key: entry.default for key, entry in KEYS.items()}, {}
    if not path.is_file() and not is_published(path):
        raise UserError(f"config file not found: {path}")
    try:
        said = _said(path, ())
    except UserError:
        # Those for other data sets have expressions of Python in them, which are not run.
        if _PUBLISHED.fullmatch(path.stem) and not is_published(path):
            raise UserError(f"{path}: of Mask2Former's files those for COCO are known, and this is none") from None
        raise
    if _architecture(said) not in (None, "MaskFormer"):
        raise UserError(f"{path}: {_ARCHITECTURE}: {_architecture(said)} is not implemented, only MaskFormer is")
    for origin, key, value in (*said, *((_COMMAND_LINE, *pair) for pair in pairs)):
        if OF_OTHER_MODELS.match(key) and key not in KEYS:
            continue
        if key not in KEYS:
            raise UserError(f"{origin}: unknown key {key}; the nearest is {nearest_key(key, KEYS)}")
        values[key] = as_typed(key, value, KEYS[key].default, origin)
        given[key] = origin
    return Config(path, _published(path), values, given)


def _said(path: Path, seen: tuple[Path, ...]) -> list[tuple[str, str, Any]]:
    """What a file and, before it, those that it is based on say: where, the key and the value.

    A published file need not be there.
    """
    if path.resolve() in seen:
        raise UserError(f"{path}: its {_BASE} leads back to itself")
    if is_published(path) and not path.exists():
        return [(f"{path}", key, value) for key, value in values_of(path).items()]
    content = read_content(path)
    base = content.pop(_BASE, None)
    inherited = _said(path.parent / base, (*seen, path.resolve())) if isinstance(base, str) else []
    return inherited + [(str(path), key, value) for key, value in flatten(content, KEYS)]


def _architecture(said: list[tuple[str, str, Any]]) -> str | None:
    """What a configuration calls the network."""
    return {key: value for _, key, value in said}.get(_ARCHITECTURE)


def _published(path: Path) -> str | None:
    """The name of the published file that a file is, or is based on; nearest first."""
    if is_published(path):
        return path.stem
    base = read_content(path).get(_BASE)
    return _published(path.parent / base) if isinstance(base, str) else None
