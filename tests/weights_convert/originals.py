"""A variant's weights in its original's files, and their canonical form."""

from collections.abc import Mapping

import numpy as np

from common.config import Settings
from weights_convert import family_of
from weights_convert.conversion import formats, original_format
from weights_convert.state_dicts import Entry

Weights = dict[str, np.ndarray]


def layout(settings: Settings) -> list[Entry]:
    """The original's state dict, in its order."""
    return family_of(settings).layout(settings, original_format(settings))


def canonical_shapes(settings: Settings) -> dict[str, tuple[int, ...]]:
    """The shape of every canonical array."""
    return family_of(settings).canonical_shapes(settings)


def from_original(source: Mapping[str, np.ndarray], settings: Settings, origin: str) -> Weights:
    """The original's arrays under canonical names."""
    return formats()[original_format(settings)].read(source, settings, origin)


def to_original(weights: Mapping[str, np.ndarray], settings: Settings, origin: str) -> Weights:
    """Canonical weights as the original's state dict."""
    return formats()[original_format(settings)].write(weights, settings, origin)
