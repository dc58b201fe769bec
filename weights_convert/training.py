"""Weights from a file put into a network that is about to be trained."""

from collections.abc import Mapping, Sequence

import numpy as np

from common.config import Settings
from weights_convert.families import family_of
from weights_convert.finetuning import Start, start_from


def fit_for_training(
    weights: Mapping[str, np.ndarray],
    drawn: Mapping[str, np.ndarray],
    settings: Settings,
    known_classes: Sequence[str],
    classes: Sequence[str],
    origin: str,
) -> Start:
    """Fits weights of `origin`, which know `known_classes`, to a network of `classes` with initial numbers `drawn`.

    Weights that lack what the family's network needs are refused; see `start_from` for what is kept of the others.
    """
    family = family_of(settings)
    family.fit_for_finetuning(weights, {name: array.shape for name, array in drawn.items()}, origin)
    return start_from(weights, drawn, family.class_heads(settings), known_classes, classes)
