"""Reads and writes canonical weights: a safetensors file, and beside it a card (JSON) with the facts about them.

A parameter's name is its path in the network with PyTorch's leaf names (weight, bias, running_mean, running_var); every
array is float32. The card of `x.safetensors` is `x.json`.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Discriminator, Tag, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors import numpy as safetensors_numpy

from common.config import FreeSizePreprocessing, Preprocessing, Settings, model_names
from common.errors import UserError
from common.files import atomic_path, existing_file
from common.models import load_settings

_MOST_NAMED = 3  # parameters in one error

# Tags of the two kinds of preprocessing; pydantic puts them into an error's location.
_FIXED, _FREE = "fixed size", "free size"


def _tag_preprocessing(preprocessing: Any) -> str:
    is_fixed = "size" in preprocessing if isinstance(preprocessing, dict) else hasattr(preprocessing, "size")
    return _FIXED if is_fixed else _FREE


class Card(BaseModel):
    """The facts without which a set of weights cannot be used correctly."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str  # a variant's name
    source: str  # where the weights come from: a file's name, or what trained them
    sha256: str | None = None  # the source's, if that is a file
    licence: str  # the weights'
    preprocessing: Annotated[
        Annotated[Preprocessing, Tag(_FIXED)] | Annotated[FreeSizePreprocessing, Tag(_FREE)],
        Discriminator(_tag_preprocessing),
    ]
    classes: tuple[str, ...]  # without the background
    category_ids: tuple[int, ...] | None = None  # the classes' ids in the data set that they are from
    numerics: dict[str, Any] | None = None  # `Settings.numerics()` of the model
    iteration: int | None = None
    ap: dict[str, float] | None = None  # by metric, such as COCO's "segm AP"; None if it was not measured

    @model_validator(mode="after")
    def _every_class_has_an_id(self) -> Self:
        if self.category_ids is not None and len(self.category_ids) != len(self.classes):
            raise ValueError(f"category_ids: {len(self.category_ids)} ids of {len(self.classes)} classes")
        return self


def save(path: str | os.PathLike, weights: Mapping[str, np.ndarray], card: Card) -> None:
    """Writes the weights file `path` and its card; a reader never sees a half-written one."""
    path = Path(path)
    # safetensors writes the bytes as they lie in memory, so a view would come out in the wrong order.
    whole = {name: np.asarray(array, order="C") for name, array in weights.items()}
    _check_dtypes(whole, str(path))
    save_card(path, card)
    with atomic_path(path) as temporary:
        # safetensors' save_file would make a file that only its owner may read.
        temporary.write_bytes(safetensors_numpy.save(whole))


def load(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], Card]:
    """Loads the weights and the card of a canonical file."""
    path = existing_file(path, "weights")
    try:
        weights = safetensors_numpy.load_file(path)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:  # TypeError: a dtype that NumPy lacks
        raise UserError(f"{path}: not a whole safetensors file ({error})") from None
    _check_dtypes(weights, str(path))
    return weights, load_card(path)


def card_path(path: str | os.PathLike) -> Path:
    """Returns the path of a weights file's card."""
    return Path(path).with_suffix(".json")


def save_card(path: str | os.PathLike, card: Card) -> None:
    """Writes the card beside the weights file `path`."""
    with atomic_path(card_path(path)) as temporary:
        temporary.write_text(card.model_dump_json(indent=2) + "\n")


def load_card(path: str | os.PathLike) -> Card:
    """Loads the card beside the weights file `path`."""
    file = existing_file(card_path(path), f"the card of {path}")
    try:
        return Card.model_validate_json(file.read_text())
    except (ValidationError, UnicodeDecodeError) as error:
        reason = error.errors()[0] if isinstance(error, ValidationError) else None
        if reason is None:
            raise UserError(f"{file}: not a card of weights: not text") from None
        key = ".".join(str(part) for part in reason["loc"] if part not in (_FIXED, _FREE)) or "the file"
        raise UserError(f"{file}: not a card of weights: {key}: {reason['msg']}") from None


def file_sha256(path: str | os.PathLike) -> str:
    """Computes a file's SHA-256 in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def differences(weights: Mapping[str, np.ndarray], shapes: Mapping[str, Sequence[int]]) -> str:
    """Says which weights are missing, left over or of another shape than in `shapes`; empty if all fit.

    The first few of each kind are named.
    """
    missing = [name for name in shapes if name not in weights]
    left_over = [name for name in weights if name not in shapes]
    misshapen = [
        f"{name} {weights[name].shape} instead of {tuple(shape)}"
        for name, shape in shapes.items()
        if name in weights and weights[name].shape != tuple(shape)
    ]
    kinds = {"missing": missing, "left over": left_over, "of another shape": misshapen}
    return "; ".join(f"{kind}: {_join_first(names)}" for kind, names in kinds.items() if names)


def check_fit(weights: Mapping[str, np.ndarray], shapes: Mapping[str, Sequence[int]], origin: str) -> None:
    """Refuses weights that have not exactly the network's names and shapes; `origin` names them in the error."""
    faults = differences(weights, shapes)
    if faults:
        raise UserError(f"{origin}: the weights do not fit the model: {faults}")


def compare_weights(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> str:
    """Says where two sets of weights differ first; empty if they are equal to the bit."""
    faults = differences(first, {name: array.shape for name, array in second.items()})
    if faults:
        return faults
    for name, array in first.items():
        other = second[name]
        if array.dtype != other.dtype:
            return f"{name} is {array.dtype} in one and {other.dtype} in the other"
        if array.tobytes() != other.tobytes():
            return f"{name} differs by up to {np.abs(array.astype(np.float64) - other).max():.3g}"
    return ""


def with_card(settings: Settings, card: Card, origin: str, overrides: Sequence[str] = ()) -> Settings:
    """Returns the settings under which weights run: with their classes and their preprocessing.

    Of the preprocessing, what `overrides` name stays as the settings have it. Weights of another model are refused, as
    `check_card` does.
    """
    paths = [override.partition("=")[0] for override in overrides if override.startswith("preprocessing.")]
    keys = [path.partition(".")[2] for path in paths]
    preprocessing = card.preprocessing.model_copy(update={key: getattr(settings.preprocessing, key) for key in keys})
    settings = settings.with_classes(len(card.classes), (card.numerics or {}).get("things"))
    settings = settings.model_copy(update={"preprocessing": preprocessing})
    check_card(card, settings, origin, overrides)
    return settings


def check_card(card: Card, settings: Settings, origin: str, overrides: Sequence[str] = ()) -> None:
    """Refuses to run weights under settings that are not theirs, even if the shapes would fit.

    A user's copy of a variant's file may differ from it in its name and in what concerns training alone. A card that
    does not tell its numerics has those of its variant with the overrides, which are those that made the settings.
    """
    if card.model not in (settings.model, *model_names()):
        raise UserError(f"{origin}: these are weights of {card.model}, not of {settings.model}")
    if card.model != settings.model:
        own = load_settings(card.model)
        if (own.family, own.preprocessing) != (settings.family, settings.preprocessing):
            raise UserError(f"{origin}: these are weights of {card.model}, not of {settings.model}")
    departures = _describe_departures(card, settings, overrides)
    if departures and card.model != settings.model:
        raise UserError(f"{origin}: these are weights of {card.model}, not of {settings.model}: {departures}")
    if departures:
        raise UserError(f"{origin}: these weights were not made with the settings of {settings.model}: {departures}")
    if len(card.classes) != settings.num_classes:
        raise UserError(f"{origin}: the weights know {len(card.classes)} classes, the settings {settings.num_classes}")


def _describe_departures(card: Card, settings: Settings, overrides: Sequence[str]) -> str:
    """Says in which numerics the settings differ from the weights' own; empty if in none."""
    theirs = card.numerics
    if theirs is None and card.model in model_names():
        theirs = load_settings(card.model, overrides).numerics()
    ours = settings.numerics()
    keys = [key for key in theirs or () if key in ours and ours[key] != theirs[key]]
    return _join_first([f"{key} is {ours[key]}, theirs is {theirs[key]}" for key in keys])


def _join_first(names: Sequence[str]) -> str:
    text = ", ".join(names[:_MOST_NAMED])
    return text if len(names) <= _MOST_NAMED else f"{text} and {len(names) - _MOST_NAMED} more"


def _check_dtypes(weights: Mapping[str, np.ndarray], origin: str) -> None:
    for name, array in weights.items():
        if array.dtype != np.float32:
            raise UserError(f"{origin}: {name} is {array.dtype}; canonical weights are float32")
