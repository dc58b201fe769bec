"""A checkpoint of any known kind -> canonical weights and their card -> a file of any framework."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common import weights as canonical
from common.config import YolactSettings, load_settings, model_names
from common.errors import UserError
from common.weights import Card
from weights_convert import mindspore_names, writers, yolact
from weights_convert.class_names import class_names
from weights_convert.readers import read_foreign

Weights = dict[str, np.ndarray]

SOURCE_FORMATS = ("canonical", "torch", "jittor", "mindspore", "yolact", "imagenet")
# Each with the endings that its readers insist on.
TARGET_FORMATS = {
    "canonical": (".safetensors",),
    "torch": (".pth", ".pt"),
    "jittor": (".pkl",),
    "mindspore": (".ckpt",),
    "yolact": (".pth",),
}
_WRITERS = {
    "torch": writers.write_pth,
    "jittor": writers.write_jittor,
    "mindspore": writers.write_mindspore,
    "yolact": writers.write_pth,
}
_LICENCES = {"yolact": "MIT where published with dbolya/yolact, else as its author says"}


@dataclass(frozen=True)
class _FileName:
    """What the original's file name says: NAME_EPOCH_ITERATION, perhaps with `_interrupt`."""

    model: str | None = None
    iteration: int | None = None

    @classmethod
    def of(cls, path: Path) -> "_FileName":
        match = re.fullmatch(r"(.+)_\d+_(\d+)(_interrupt)?", path.stem)
        if not match:
            return cls()
        return cls(match[1] if match[1] in model_names() else None, int(match[2]))


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
    shapes = {name: shape for name, shape in yolact.canonical_shapes(settings).items() if name in weights}
    canonical.check_fit(weights, shapes, str(path))
    return weights, card or _card(path, found_format, settings)


def open_weights(path: str | os.PathLike, settings: YolactSettings) -> tuple[Weights, Card]:
    """What `--weights` names: a canonical file, a framework's checkpoint or an upstream one, told by its keys.

    The heads may be of another size than the settings' and ImageNet weights are the backbone's alone: `check_card` and
    `check_fit` (to evaluate) or `yolact.fit_for_finetuning` (to train) are the caller's.
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
    written = weights
    if target_format == "yolact":
        written = yolact.to_original(weights, _with_classes_of(weights, load_settings(model or card.model)), str(path))
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


def _opened(path: Path, source_format: str | None) -> tuple[Weights, str, Card | None]:
    """The arrays under the file's own names, what these names are, and the card where one lies beside."""
    if path.suffix == ".safetensors" and canonical.card_path(path).is_file():
        weights, card = canonical.load(path)
        return weights, source_format or "canonical", card
    arrays = read_foreign(path)
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
    if any(name.startswith("head.") for name in arrays):
        return "canonical"
    if any(re.match(r"(layer1|layers\.0)\.0\.", name) for name in arrays):
        return "imagenet"
    raise UserError(f"{path}: its names belong to no known model: {', '.join(list(arrays)[:3])} ...")


def _canonical(arrays: Weights, source_format: str, settings: YolactSettings, origin: str) -> Weights:
    """The arrays under canonical names as float32; what does not fit is named, or else the variant that it fits."""
    try:
        weights = _renamed(arrays, source_format, settings, origin)
    except UserError:
        others = _fitting(arrays, source_format)
        if not others or settings.model in others:  # its own name: the settings were changed
            raise
        raise UserError(f"{origin}: these are weights of {' or '.join(others)}, not of {settings.model}") from None
    return {name: _float32(array, f"{origin}: {name}") for name, array in weights.items()}


def _renamed(arrays: Weights, source_format: str, settings: YolactSettings, origin: str) -> Weights:
    if source_format == "yolact":
        return yolact.from_original(arrays, settings, origin)
    if source_format == "imagenet":
        return yolact.from_backbone(arrays, settings, origin)
    if source_format == "mindspore":
        arrays = mindspore_names.from_mindspore(arrays)
    return yolact.from_canonical(arrays, settings, origin)


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
        _, misfits = yolact.fit_for_finetuning(weights, yolact.canonical_shapes(settings), name)
        if not misfits:
            fitting.append(name)
    return fitting


def _only_fitting(arrays: Weights, source_format: str, path: Path) -> str:
    fitting = _fitting(arrays, source_format)
    if len(fitting) != 1:
        which = f"could be {', '.join(fitting)}" if fitting else "fits no model"
        raise UserError(f"{path}: {which}; say which with --model")
    return fitting[0]


def _with_classes_of(arrays: Mapping[str, np.ndarray], settings: YolactSettings) -> YolactSettings:
    """The settings with the number of classes that a checkpoint was made for."""
    biases = (arrays.get("semantic_seg_conv.bias"), arrays.get("semantic.bias"))
    counts = [len(bias) for bias in biases if bias is not None and bias.ndim == 1]
    return settings.model_copy(update={"num_classes": counts[0]}) if counts else settings


def _card(path: Path, source_format: str, settings: YolactSettings) -> Card:
    return Card(
        model=settings.model,
        source=path.name,
        sha256=canonical.file_sha256(path),
        licence=_LICENCES.get(source_format, "unknown"),
        preprocessing=settings.preprocessing,
        classes=class_names(settings.num_classes),
        iteration=_FileName.of(path).iteration,
    )
