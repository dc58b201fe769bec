"""A checkpoint of any known kind -> canonical weights and their card -> a file of any framework."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np

from common import weights as canonical
from common.config import Settings, model_names
from common.data.class_names import PERSONS, category_ids, class_names
from common.errors import UserError
from common.models import load_settings
from common.weights import Card
from weights_convert import mask_rcnn, mindspore_names, pose2seg, writers, yolact
from weights_convert.caffe2 import from_caffe2, is_caffe2
from weights_convert.readers import read_foreign
from weights_convert.state_dicts import Weights, without_prefix

# What is known of a family's checkpoints.
_FAMILIES = {"yolact": yolact, "mask_rcnn": mask_rcnn, "pose2seg": pose2seg}
_ORIGINALS = ("yolact", "maskrcnn_benchmark", "torchvision", "detectron2", "pose2seg")
# A port of an original, whose files differ from it in form alone.
_PORTS = {"pose2seg_jittor": "pose2seg"}
SOURCE_FORMATS = ("canonical", "torch", "jittor", "mindspore", *_ORIGINALS, "caffe2", "imagenet")
# Each with the endings that its readers insist on.
TARGET_FORMATS = {
    "canonical": (".safetensors",),
    "torch": (".pth", ".pt"),
    "jittor": (".pkl",),
    "mindspore": (".ckpt",),
    "yolact": (".pth",),
    "maskrcnn_benchmark": (".pth",),
    "torchvision": (".pth",),
    "detectron2": (".pth", ".pkl"),
    "pose2seg": (".pkl",),
    "pose2seg_jittor": (".pkl",),
}
_WRITERS = {
    "torch": writers.write_pth,
    "jittor": writers.write_jittor,
    "mindspore": writers.write_mindspore,
    "yolact": writers.write_pth,
    "maskrcnn_benchmark": partial(writers.write_pth, entry="model"),
    "torchvision": writers.write_pth,
    "detectron2": writers.write_detectron2,
    "pose2seg": writers.write_pth,
    "pose2seg_jittor": writers.write_jittor,
}
_LICENCES = {
    "yolact": "MIT where published with dbolya/yolact, else as its author says",
    "maskrcnn_benchmark": "MIT where published with maskrcnn-benchmark, else as its author says",
    "torchvision": "BSD 3-Clause where published with torchvision, else as its author says",
    "detectron2": "CC BY-SA 3.0 where published in detectron2's model zoo, else as its author says",
    "caffe2": "CC BY-SA 3.0 where published in Detectron's model zoo, else as its author says",
    "pose2seg": "MIT where published with Pose2Seg, else as its author says",
}


@dataclass(frozen=True)
class _FileName:
    """What an original's file name says: the model, or the iteration, or both."""

    model: str | None = None
    iteration: int | None = None

    @classmethod
    def of(cls, path: Path) -> "_FileName":
        if match := re.fullmatch(r"(.+)_\d+_(\d+)(_interrupt)?", path.stem):  # YOLACT: NAME_EPOCH_ITERATION
            return cls(_known(match[1]), int(match[2]))
        if match := re.fullmatch(r"model_(\d{7})", path.stem):  # maskrcnn-benchmark and detectron2 while they train
            return cls(None, int(match[1]))
        return cls(_known(re.sub(r"(_coco)?-[0-9a-f]{8}$", "", path.stem)))  # torchvision: NAME_coco-DIGEST


def _known(name: str) -> str | None:
    """The model of this name, which may be an original's."""
    if name in model_names():
        return name
    return next((model for model in model_names() if name in load_settings(model).aliases), None)


def original_format(settings: Settings) -> str:
    """Whose file format a variant's original has."""
    return settings.convention if settings.family == "mask_rcnn" else settings.family


def target_formats(model: str) -> dict[str, tuple[str, ...]]:
    """Those of TARGET_FORMATS that a model can be written in."""
    original = original_format(load_settings(model))
    others = {name for name in _ORIGINALS if name != original}
    return {name: endings for name, endings in TARGET_FORMATS.items() if _PORTS.get(name, name) not in others}


def convert(
    source: str | os.PathLike, model: str | None = None, source_format: str | None = None
) -> tuple[Weights, Card]:
    """Canonical weights from any file, checked name by name and shape by shape against the model that they are of.

    The model is `model`, or what the card or the file's name says, or the only one that the arrays fit. Of ImageNet
    weights the result is the backbone's part alone.
    """
    path = Path(source)
    arrays, found_format, card = _opened(path, source_format)
    name = model or (card.model if card else None) or _FileName.of(path).model
    settings = _with_classes_of(arrays, load_settings(name or _only_fitting(arrays, found_format, path)))
    if card and model:
        canonical.check_card(card, settings, str(path))
    weights = _canonical(arrays, found_format, settings, str(path))
    # The names are checked by now, and all shapes but the heads'.
    shapes = {name: shape for name, shape in family_of(settings).canonical_shapes(settings).items() if name in weights}
    canonical.check_fit(weights, shapes, str(path))
    if card is None:
        card = _card(path, found_format, settings).model_copy(update={"numerics": settings.numerics()})
    return weights, card


def open_weights(path: str | os.PathLike, settings: Settings) -> tuple[Weights, Card]:
    """What `--weights` names: a canonical file, a framework's checkpoint or an upstream one, told by its keys.

    The heads may be of another size than the settings' and ImageNet weights are the backbone's alone: `check_card` and
    `check_fit` (to evaluate) or the family's `fit_for_finetuning` (to train) are the caller's.
    """
    path = Path(path)
    arrays, found_format, card = _opened(path, None)
    if card is None:
        named = _FileName.of(path).model
        own = _with_classes_of(arrays, load_settings(named) if named else settings)
        card = _card(path, found_format, own)
    return _canonical(arrays, found_format, settings, str(path)), card


def model_of(path: str | os.PathLike) -> str | None:
    """The variant that a checkpoint's card or else its name tells."""
    path = Path(path)
    if canonical.card_path(path).is_file():
        return canonical.load_card(path).model
    return _FileName.of(path).model


def write(dest: str | os.PathLike, weights: Weights, card: Card, target_format: str, model: str | None = None) -> None:
    """Writes `dest` and its card, reads the file again and compares it to the bit."""
    path = Path(dest)
    if path.suffix not in TARGET_FORMATS[target_format]:
        raise UserError(f"{path}: a file for {target_format} ends in {' or '.join(TARGET_FORMATS[target_format])}")
    settings = _with_classes_of(weights, load_settings(model or card.model))
    if target_format not in target_formats(model or card.model):
        raise UserError(f"{path}: {settings.model} has the form of {original_format(settings)}, not of {target_format}")
    written = weights
    if target_format in _ORIGINALS:
        written = family_of(settings).to_original(weights, settings, str(path))
    elif target_format in _PORTS:
        written = family_of(settings).to_port(weights, settings, str(path))
    elif target_format == "mindspore":
        written = mindspore_names.to_mindspore(weights)
    if target_format == "canonical":
        canonical.save(path, weights, card)
    else:
        _WRITERS[target_format](path, written)
        canonical.save_card(path, card)
    fault = canonical.compare_weights(read_foreign(path), written)
    if fault:
        raise UserError(f"{path}: what was written reads back otherwise: {fault}")


def family_of(settings: Settings) -> ModuleType:
    """What is known of the checkpoints of the model's family: its module."""
    return _FAMILIES[settings.family]


def _opened(path: Path, source_format: str | None) -> tuple[Weights, str, Card | None]:
    """The arrays under the file's own names, what these names are, and the card where one lies beside."""
    if path.suffix == ".safetensors" and canonical.card_path(path).is_file():
        weights, card = canonical.load(path)
        return weights, source_format or "canonical", card
    arrays = without_prefix(read_foreign(path))
    found_format = source_format or _format_of(arrays, path)
    if path.suffix == ".safetensors" and found_format == "canonical":
        canonical.load_card(path)  # says that it is missing
    card = canonical.load_card(path) if canonical.card_path(path).is_file() else None
    return arrays, found_format, card


def _format_of(arrays: Mapping[str, np.ndarray], path: Path) -> str:
    if any(name.startswith("prediction_layers.") for name in arrays):
        return "yolact"
    if any(name.endswith(".moving_mean") for name in arrays):
        return "mindspore"
    if any(name.startswith(("head.", "box_head.", "fpn.")) for name in arrays):
        return "canonical"
    if any(name.startswith(("segnet.", "pose2seg.")) for name in arrays):
        return "pose2seg"
    if any(name.startswith("roi_heads.box.") for name in arrays):
        return "maskrcnn_benchmark"
    if any(name.startswith("roi_heads.") for name in arrays):
        return "torchvision" if any(name.startswith("rpn.") for name in arrays) else "detectron2"
    if is_caffe2(arrays):
        return "caffe2"
    if any(re.match(r"(layer1|layers\.0)\.0\.", name) for name in arrays):
        return "imagenet"
    raise UserError(f"{path}: its names belong to no known model: {', '.join(list(arrays)[:3])} ...")


def _canonical(arrays: Weights, source_format: str, settings: Settings, origin: str) -> Weights:
    """The arrays under canonical names as float32; what does not fit is named, or else the variant that it fits."""
    try:
        weights = _renamed(arrays, source_format, settings, origin)
    except UserError:
        others = _fitting(arrays, source_format)
        if not others or settings.model in others:  # its own name: the settings were changed
            raise
        known = " or ".join(_different(others))
        raise UserError(f"{origin}: these are weights of {known}, not of {settings.model}") from None
    return {name: _float32(array, f"{origin}: {name}") for name, array in weights.items()}


def _renamed(arrays: Weights, source_format: str, settings: Settings, origin: str) -> Weights:
    family = family_of(settings)
    if source_format in _ORIGINALS:
        if source_format != original_format(settings):
            raise UserError(f"{origin}: a file of {source_format}, which {settings.model} is not from")
        return family.from_original(arrays, settings, origin)
    if source_format == "caffe2":
        if settings.family != "mask_rcnn":
            raise UserError(f"{origin}: a file of Caffe2, which {settings.model} is not from")
        return from_caffe2(arrays, settings, origin)
    if source_format == "imagenet":
        return family.from_backbone(arrays, settings, origin)
    if source_format == "mindspore":
        arrays = mindspore_names.from_mindspore(arrays)
    return family.from_canonical(arrays, settings, origin)


def _float32(array: np.ndarray, what: str) -> np.ndarray:
    if array.dtype.kind != "f":
        raise UserError(f"{what} is {array.dtype}, which no weight is")
    return array.astype(np.float32)


def _fitting(arrays: Weights, source_format: str) -> list[str]:
    """The models that the arrays fit, whatever the number of classes."""
    fitting = []
    for name in model_names():
        settings = _with_classes_of(arrays, load_settings(name))
        try:
            weights = _renamed(arrays, source_format, settings, name)
        except UserError:
            continue
        family = family_of(settings)
        _, misfits = family.fit_for_finetuning(weights, family.canonical_shapes(settings), name)
        if not misfits:
            fitting.append(name)
    return fitting


def _only_fitting(arrays: Weights, source_format: str, path: Path) -> str:
    fitting = _different(_fitting(arrays, source_format))
    if len(fitting) != 1:
        which = f"could be {', '.join(fitting)}" if fitting else "fits no model"
        raise UserError(f"{path}: {which}; say which with --model")
    return fitting[0]


def _different(models: Sequence[str]) -> list[str]:
    """The first of all models that differ in name and schedule alone: weights do not tell them apart."""
    first = {}
    for name in models:
        settings = load_settings(name)
        without = settings.model_dump_json(exclude={"model", "aliases", "schedule"})
        first.setdefault(without, name)
    return list(first.values())


def _with_classes_of(arrays: Mapping[str, np.ndarray], settings: Settings) -> Settings:
    """The settings with the number of classes that a checkpoint was made for."""
    classes = family_of(settings).classes_of(arrays)
    return settings.model_copy(update={"num_classes": classes}) if classes else settings


def _card(path: Path, source_format: str, settings: Settings) -> Card:
    classes = PERSONS if settings.family == "pose2seg" else class_names(settings.num_classes)
    return Card(
        model=settings.model,
        source=path.name,
        sha256=canonical.file_sha256(path),
        licence=_LICENCES.get(source_format, "unknown"),
        preprocessing=settings.preprocessing,
        classes=classes,
        category_ids=category_ids(classes),
        iteration=_FileName.of(path).iteration,
    )
