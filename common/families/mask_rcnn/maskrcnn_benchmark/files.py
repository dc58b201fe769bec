"""maskrcnn-benchmark's configuration files and the KEY VALUE pairs behind them, as settings and options of ours."""

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
from common.families.mask_rcnn.maskrcnn_benchmark.keys import BODY, KEYS, OF_OTHER_MODELS
from common.models import load_settings


@dataclass(frozen=True)
class Config:
    """A whole configuration: `values` of all keys, and `given`, which says where a key is set that is not default."""

    path: Path
    values: dict[str, Any]
    given: dict[str, str] = field(default_factory=dict)

    @property
    def pyramid(self) -> bool:
        return self.values[BODY].endswith("FPN")

    @property
    def model(self) -> str:
        """The variant that comes nearest."""
        if not self.pyramid:
            return "mask_rcnn_r50_c4"
        if self.values["MODEL.RESNETS.NUM_GROUPS"] > 1:
            return "mask_rcnn_x101_32x8d_fpn"
        return "mask_rcnn_r50_fpn" if "R-50" in self.values[BODY] else "mask_rcnn_r101_fpn"

    def overrides(self) -> list[str]:
        """Lists as key.path=value the keys that the file gives, and whatever else departs from `model`."""
        KEYS[BODY].convert(self, BODY)  # first: it decides what else is implemented
        base, found = load_settings(self.model), []
        for key in sorted(KEYS, key=lambda key: key not in self.given):  # what is written is what an error should name
            entry = KEYS[key]
            value = entry.convert(self, key) if entry.convert else self.values[key]
            if entry.path and (key in self.given or value != operator.attrgetter(entry.path)(base)):
                found.append(f"{entry.path}={json.dumps(value)}")
        return found

    def options(self, command: str) -> dict[str, str]:
        """The options of a command that the configuration gives, by their names in argparse."""
        names = {"MODEL.DEVICE": "device", "DATALOADER.NUM_WORKERS": "workers"}
        if command == "train":
            names["OUTPUT_DIR"] = "output"
        if command == "evaluate":
            names["TEST.IMS_PER_BATCH"] = "batch_size"
        options = {name: str(self.values[key]) for key, name in names.items() if key in self.given}
        if "device" in options:
            options["device"] = options["device"].partition(":")[0]
        names = self.values["DATASETS.TEST"]
        if command == "evaluate" and "OUTPUT_DIR" in self.given and names:
            # Of several each gets a folder of its own in this one.
            options["output"] = str(Path(self.values["OUTPUT_DIR"], "inference", names[0] if len(names) == 1 else ""))
        return options

    def complete(self, arguments: Namespace, command: str) -> None:
        """Sets the data and the weights where a command takes them and the command line says nothing."""
        if "data" in arguments and arguments.data is None:
            if command == "evaluate":
                arguments.test_sets = self._test_sets()
            arguments.data = self._data(command)
        resumes = getattr(arguments, "resume", False) or getattr(arguments, "resume_file", None)
        if arguments.weights is None and not resumes:
            arguments.weights = self.weights(command)

    def _data(self, command: str) -> Path:
        for key, part in (("DATASETS.TRAIN", "train"), ("DATASETS.TEST", "val"))[command != "train" :]:
            names = self.values[key]
            if part == "val" and self._test_sets():
                names = ("coco_2017_val",)
            if set(names) not in _COCO_PARTS[part] and (names or part == "train" or command != "train"):
                said = f"{', '.join(names)} is" if names else "nothing is given, which is"
                self.refuse(key, f"{said} not the {part} part of COCO; give a data set's folder as --data ROOT")
            if names and not _COCO.is_dir():
                self.refuse(
                    key,
                    f"{', '.join(names)}: these are the images of COCO 2017's {part} part, looked for in {_COCO} "
                    f"(annotations/instances_{part}2017.json and {part}2017): put it there or give --data ROOT",
                )
        return _COCO

    def _test_sets(self) -> list[tuple[str, Path, str]]:
        """Lists the name, the folder and the split of each test set, if there are several."""
        key = "DATASETS.TEST"
        names = self.values[key]
        if len(names) < 2:
            return []
        if unknown := [name for name in names if name not in _TEST_SETS]:
            known = ", ".join(_TEST_SETS)
            self.refuse(key, f"of several test sets each is one of {known}, not {unknown[0]}; rate others one by one")
        return [(name, _COCO, _TEST_SETS[name]) for name in names]

    def weights(self, command: str) -> Path | None:
        """MODEL.WEIGHT, or what a run has left in OUTPUT_DIR, which stands before it as in the original."""
        trained = Path(self.values["OUTPUT_DIR"], "weights.safetensors")
        if command != "train" and "OUTPUT_DIR" in self.given and trained.is_file():
            return trained
        key = "MODEL.WEIGHT"
        name = self.values[key]
        self._refuse_last_checkpoint()
        if command != "train" and (not name or "ImageNetPretrained" in name):
            self.refuse(key, "no trained model is given; give one as --weights FILE")
        if re.match(r"catalog:|https?:", name):
            url = name
            if name.startswith("catalog://"):
                entry = _CATALOG.get(name.removeprefix("catalog://"))
                url = f"{_PUBLISHED}/{entry}" if entry else "the file that it stands for"
            self.refuse(key, f"{name}: download {url} and give the file as --weights")
        return Path(name) if name else None

    def _refuse_last_checkpoint(self) -> None:
        """The original goes on from the checkpoint that this file names, whatever else is said; here nothing does."""
        file = Path(self.values["OUTPUT_DIR"], "last_checkpoint")
        if file.is_file():
            name = file.read_text(errors="replace").strip()
            self.refuse(
                "OUTPUT_DIR", f"{file} names {name}, which is not taken up by itself: give it as --weights FILE"
            )

    def refuse(self, key: str, reason: str) -> NoReturn:
        raise UserError(f"{self.given.get(key, f'{self.path}, by default')}: {key}: {reason}")


_COCO = Path("datasets/coco")
# The names under which a split of COCO 2017 goes; the two lists of 2014 have the same images.
_COCO_PARTS = {
    "train": ({"coco_2017_train"}, {"coco_2014_train", "coco_2014_valminusminival"}),
    "val": ({"coco_2017_val"}, {"coco_2014_minival"}),
}
# Which part of it one of several test sets is.
_TEST_SETS = {"coco_2017_val": "val", "coco_2014_minival": "val", "coco_2017_train": "train"}
_PUBLISHED = "https://dl.fbaipublicfiles.com/detectron"
_DETECTRON = (
    ("35858791/e2e_mask_rcnn_R-50-C4_1x", "01_45_57.ZgkA7hPB"),
    ("35858933/e2e_mask_rcnn_R-50-FPN_1x", "01_48_14.DzEQe4wC"),
    ("35861795/e2e_mask_rcnn_R-101-FPN_1x", "02_31_37.KqyEK4tT"),
    ("36761843/e2e_mask_rcnn_X-101-32x8d-FPN_1x", "06_35_59.RZotkLKI"),
    ("37129812/e2e_mask_rcnn_X-152-32x8d-FPN-IN5k_1.44x", "09_35_36.8pzTQKYK"),
)
_CATALOG = {
    "ImageNetPretrained/MSRA/R-50": "ImageNetPretrained/MSRA/R-50.pkl",
    "ImageNetPretrained/MSRA/R-101": "ImageNetPretrained/MSRA/R-101.pkl",
    "ImageNetPretrained/FAIR/20171220/X-101-32x8d": "ImageNetPretrained/20171220/X-101-32x8d.pkl",
} | {
    f"Caffe2Detectron/COCO/{name}": f"{name.replace('/', '/12_2017_baselines/')}.yaml.{run}/output/train/"
    "coco_2014_train%3Acoco_2014_valminusminival/generalized_rcnn/model_final.pkl"
    for name, run in _DETECTRON
}


def is_config(path: str | os.PathLike) -> bool:
    """Whether a YAML file is one of maskrcnn-benchmark, whose keys are in capitals, and not one of ours."""
    return any(name.isupper() for name in read_content(Path(path)))


def read_config(path: Path, pairs: Sequence[tuple[str, str]] = ()) -> Config:
    """The file's configuration, changed by the pairs; keys and types are checked, what is implemented is not yet."""
    values, given = {key: entry.default for key, entry in KEYS.items()}, {}
    parts = [(str(path), flatten(read_content(path), KEYS)), ("command line", pairs)]
    for origin, part in parts:
        for key, value in part:
            if OF_OTHER_MODELS.match(key) and key not in KEYS:
                continue
            if key not in KEYS:
                raise UserError(f"{origin}: unknown key {key}; the nearest is {nearest_key(key, KEYS)}")
            values[key], given[key] = as_typed(key, value, KEYS[key].default, origin), origin
    return Config(path, values, given)
