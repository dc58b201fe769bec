"""Canonical weights on disk: a safetensors file, and beside it a card (JSON) with the facts that belong to it.

A parameter's name is its path in the network with PyTorch's leaf names (weight, bias, running_mean, running_var); every
array is float32. `x.safetensors` has its card in `x.json`.
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

_NAMED_IN_AN_ERROR = 3

# Whether a model's images have one size or any; pydantic puts these words into an error's location.
_FIXED, _FREE = "fixed size", "free size"


def _size_of(preprocessing: Any) -> str:
    is_fixed = "size" in preprocessing if isinstance(preprocessing, dict) else hasattr(preprocessing, "size")
    return _FIXED if is_fixed else _FREE


class Card(BaseModel):
    """What must be known of a set of weights to use it rightly."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str  # a variant's name
    source: str  # where the weights come from: a file's name, or what trained them
    sha256: str | None = None  # of the source, where that is a file
    licence: str  # of the weights
    preprocessing: Annotated[
        Annotated[Preprocessing, Tag(_FIXED)] | Annotated[FreeSizePreprocessing, Tag(_FREE)], Discriminator(_size_of)
    ]
    classes: tuple[str, ...]  # without the background
    category_ids: tuple[int, ...] | None = None  # of the classes, in the data set that they are from
    numerics: dict[str, Any] | None = None  # the settings that change numbers but no shape, by their keys
    iteration: int | None = None
    ap: dict[str, float] | None = None  # by metric, as COCO's "segm AP"; None where nobody measured it

    @model_validator(mode="after")
    def _every_class_has_an_id(self) -> Self:
        if self.category_ids is not None and len(self.category_ids) != len(self.classes):
            raise ValueError(f"category_ids: {len(self.category_ids)} ids of {len(self.classes)} classes")
        return self


def save(path: str | os.PathLike, weights: Mapping[str, np.ndarray], card: Card) -> None:
    """Writes `path` and its card; a reader never meets half of either."""
    path = Path(path)
    # safetensors writes the bytes as they lie in memory, so a view would come out in the wrong order.
    whole = {name: np.asarray(array, order="C") for name, array in weights.items()}
    _check_dtypes(whole, str(path))
    save_card(path, card)
    with atomic_path(path) as temporary:
        # Its own save_file makes a file that its owner alone may read.
        temporary.write_bytes(safetensors_numpy.save(whole))


def load(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], Card]:
    """The weights and the card of a canonical file."""
    path = existing_file(path, "weights")
    try:
        weights = safetensors_numpy.load_file(path)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:  # TypeError: a dtype that NumPy lacks
        raise UserError(f"{path}: not a whole safetensors file ({error})") from None
    _check_dtypes(weights, str(path))
    return weights, load_card(path)


def card_path(path: str | os.PathLike) -> Path:
    """Where the card of a weights file lies."""
    return Path(path).with_suffix(".json")


def save_card(path: str | os.PathLike, card: Card) -> None:
    """Writes the card beside the weights file `path`."""
    with atomic_path(card_path(path)) as temporary:
        temporary.write_text(card.model_dump_json(indent=2) + "\n")


def load_card(path: str | os.PathLike) -> Card:
    """The card beside the weights file `path`."""
    place = existing_file(card_path(path), f"the card of {path}")
    try:
        return Card.model_validate_json(place.read_text())
    except (ValidationError, UnicodeDecodeError) as error:
        reason = error.errors()[0] if isinstance(error, ValidationError) else None
        if reason is None:
            raise UserError(f"{place}: not a card of weights: not text") from None
        where = ".".join(str(part) for part in reason["loc"] if part not in (_FIXED, _FREE)) or "the file"
        raise UserError(f"{place}: not a card of weights: {where}: {reason['msg']}") from None


def file_sha256(path: str | os.PathLike) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def differences(weights: Mapping[str, np.ndarray], shapes: Mapping[str, Sequence[int]]) -> str:
    """What is missing, left over or of another shape, by name (the first few of each); empty where all fits."""
    missing = [name for name in shapes if name not in weights]
    left_over = [name for name in weights if name not in shapes]
    misshapen = [
        f"{name} {weights[name].shape} instead of {tuple(shape)}"
        for name, shape in shapes.items()
        if name in weights and weights[name].shape != tuple(shape)
    ]
    kinds = {"missing": missing, "left over": left_over, "of another shape": misshapen}
    return "; ".join(f"{kind}: {_shortened(names)}" for kind, names in kinds.items() if names)


def check_fit(weights: Mapping[str, np.ndarray], shapes: Mapping[str, Sequence[int]], origin: str) -> None:
    """Refuses weights that are not exactly the network's."""
    faults = differences(weights, shapes)
    if faults:
        raise UserError(f"{origin}: the weights do not fit the model: {faults}")


def compare_weights(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> str:
    """The first difference by name, to the bit; empty where the two are equal."""
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
    """The settings under which weights run: their classes and, but for what is overridden, their preprocessing."""
    keys = [override.partition("=")[0] for override in overrides if override.startswith("preprocessing.")]
    chosen = {key: getattr(settings.preprocessing, key) for key in (name.partition(".")[2] for name in keys)}
    preprocessing = card.preprocessing.model_copy(update=chosen)
    settings = settings.model_copy(update={"num_classes": len(card.classes), "preprocessing": preprocessing})
    check_card(card, settings, origin, overrides)
    return settings


def check_card(card: Card, settings: Settings, origin: str, overrides: Sequence[str] = ()) -> None:
    """Refuses to run weights under settings that are not theirs, also where the shapes would fit.

    A variant's file and a user's copy of it may differ in name and in training alone. `overrides` are those that made
    the settings; a card that does not tell its own numerics is taken for its variant's, with these.
    """
    if card.model not in (settings.model, *model_names()):
        raise UserError(f"{origin}: these are weights of {card.model}, not of {settings.model}")
    if card.model != settings.model:
        own = load_settings(card.model)
        if (own.family, own.preprocessing) != (settings.family, settings.preprocessing):
            raise UserError(f"{origin}: these are weights of {card.model}, not of {settings.model}")
    departures = _departures(card, settings, overrides)
    if departures and card.model != settings.model:
        raise UserError(f"{origin}: these are weights of {card.model}, not of {settings.model}: {departures}")
    if departures:
        raise UserError(f"{origin}: these weights were not made with the settings of {settings.model}: {departures}")
    if len(card.classes) != settings.num_classes:
        raise UserError(f"{origin}: the weights know {len(card.classes)} classes, the settings {settings.num_classes}")


def _departures(card: Card, settings: Settings, overrides: Sequence[str]) -> str:
    """In which numerics the settings are not the weights' own, in words; empty where in none."""
    known = card.numerics
    if known is None and card.model in model_names():
        known = load_settings(card.model, overrides).numerics()
    chosen = settings.numerics()
    keys = [key for key in known or () if key in chosen and chosen[key] != known[key]]
    return _shortened([f"{key} is {chosen[key]}, theirs is {known[key]}" for key in keys])


def _shortened(names: Sequence[str]) -> str:
    text = ", ".join(names[:_NAMED_IN_AN_ERROR])
    return text if len(names) <= _NAMED_IN_AN_ERROR else f"{text} and {len(names) - _NAMED_IN_AN_ERROR} more"


def _check_dtypes(weights: Mapping[str, np.ndarray], origin: str) -> None:
    for name, array in weights.items():
        if array.dtype != np.float32:
            raise UserError(f"{origin}: {name} is {array.dtype}; canonical weights are float32")
