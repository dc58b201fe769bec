"""A variant's settings, in the class of its family, and the weights that it starts from."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from common.config import Settings, read_variant
from common.errors import UserError
from common.families import family_named, family_names, family_of
from common.training.initial_weights import Shapes


def load_settings(model: str, overrides: Sequence[str] = ()) -> Settings:
    """The settings of a variant: its name, an original's name for it, or a path to a YAML file."""
    values, path = read_variant(model, overrides)
    return settings_from(values, str(path))


def settings_from(values: dict[str, Any], origin: str) -> Settings:
    """The settings of plain values, as a file or a checkpoint has them; `origin` says in an error whence they are."""
    family = values.get("family")
    if family not in family_names():
        raise UserError(f"{origin}: family: {family!r} is none of {', '.join(family_names())}")
    try:
        return family_named(family).settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = _dotted(first["loc"], values, first["type"] == "missing")
        if not key:  # of the settings as a whole
            raise UserError(f"{origin}: {first['ctx']['error']}") from None
        if first["type"] == "extra_forbidden":
            raise UserError(f"{origin}: unknown key {key}") from None
        if first["type"] == "value_error" and isinstance(first.get("input"), dict):  # of a section as a whole
            raise UserError(f"{origin}: {key}: {first['ctx']['error']}") from None
        raise UserError(f"{origin}: {key}: {first['msg']} (got {first.get('input')!r})") from None


def _dotted(location: Sequence[str | int], values: Any, is_missing: bool) -> str:
    """A key's path as a file spells it: pydantic adds the kind that it took a section for, which no file has.

    is_missing: the last key is one that the file should have, and has not.
    """
    keys = []
    for place, part in enumerate(location, start=1):
        is_last = is_missing and place == len(location)
        is_kind = isinstance(values, dict) and part not in values and not is_last
        if not is_kind:
            values = values.get(part) if isinstance(values, dict) else values
            keys.append(str(part))
    return ".".join(keys)


def initial_weights(shapes: Shapes, settings: Settings, seed: int) -> dict[str, np.ndarray]:
    """A first value for every parameter, by canonical name, as the family's original draws it."""
    draw = family_of(settings).initial_weight
    return {name: draw(name, shapes, settings, seed) for name in shapes}
