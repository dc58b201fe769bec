"""Variants of Mask R-CNN with all of their layers and few channels, and weights for them, every number another."""

import numpy as np

from common.config import Settings
from common.models import load_settings
from tests.weights_convert.originals import canonical_shapes, layout

Weights = dict[str, np.ndarray]

_SMALL = ("network.backbone.width=8", "network.channels=8", "network.box_channels=6", "num_classes=3")


def small(model: str) -> Settings:
    """A variant with all of its layers and few channels."""
    return load_settings(model, _narrow(load_settings(model)))


def _narrow(settings: Settings) -> tuple[str, ...]:
    """The overrides that leave a variant few channels."""
    is_swin = settings.network.backbone.kind == "swin"
    return (*_SMALL, "network.backbone.heads=[1, 2, 4, 8]") if is_swin else _SMALL


def draw(settings: Settings) -> Weights:
    """A checkpoint under the original's names, every number another."""
    rng = np.random.default_rng(7)
    return {entry.original: rng.standard_normal(entry.shape, np.float32) for entry in layout(settings)}


def draw_canonical(settings: Settings) -> Weights:
    rng = np.random.default_rng(8)
    shapes = canonical_shapes(settings)
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def small_or_other(name: str, overrides: list[str] | tuple[str, ...] = ()) -> Settings:
    """`load_settings`, in which every Mask R-CNN has few channels."""
    settings = load_settings(name)
    return load_settings(name, [*(_narrow(settings) if settings.family == "mask_rcnn" else ()), *overrides])
