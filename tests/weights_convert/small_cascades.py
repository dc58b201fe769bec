"""Cascades with all of their layers and few channels, and checkpoints for them, every number another."""

import re

import numpy as np

from common.config import Settings
from common.models import load_settings
from weights_convert import family_of
from weights_convert.state_dicts import Entry, Weights

# A whole Swin with few numbers, and the other parts of a two-stage model.
SWIN = "network.backbone={kind: swin, width: 8, depths: [1, 2, 2, 1], heads: [1, 2, 4, 8], window: 4}"
FEW = ["network.channels=8", "network.box_channels=6", "num_classes=3"]


def small(model: str, *overrides: str) -> Settings:
    """A variant with all of its layers and few channels."""
    is_swin = load_settings(model).network.backbone.kind == "swin"
    narrow = ["network.backbone.width=8"] + (["network.backbone.heads=[1, 2, 4, 8]"] if is_swin else [])
    return load_settings(model, [*narrow, *FEW, *overrides])


def entries_of(settings: Settings, upstream: str) -> list[Entry]:
    """The state dict of a model in the files of an upstream."""
    return family_of(settings).layout(settings, upstream)


def draw(settings: Settings, upstream: str, seed: int = 7) -> Weights:
    """A checkpoint of an upstream: every number another, and what follows from the sizes as the upstream has it."""
    rng = np.random.default_rng(seed)
    return {
        e.original: rng.standard_normal(e.file_shape).astype(np.float32) if e.canonical else e.written
        for e in entries_of(settings, upstream)
    }


def draw_imagenet(settings: Settings, names: str = "", window: int | None = None, moby: bool = False) -> Weights:
    """A Swin that classifies, in Microsoft's names or mmclassification's, with windows of its own."""
    overrides = [] if window is None else [f"network.backbone.window={window}"]
    large = load_settings(settings.model, [SWIN, *FEW, *overrides])
    drawn = draw(large, "mmdetection" if names else "swin_detection", 11)
    prefix = "backbone." if names else ("encoder." if moby else "")
    source = {
        prefix + name.removeprefix("backbone."): array
        for name, array in drawn.items()
        if name.startswith("backbone.") and not re.match(r"backbone\.norm\d", name)
    }
    ones = np.ones(64, np.float32)
    if names:
        return source | {"backbone.norm3.weight": ones, "backbone.norm3.bias": 2 * ones, "head.fc.weight": ones}
    first = next(name for name in source if "blocks.1.attn" in name).partition("attn.")[0]
    source |= {f"{prefix}norm.weight": ones, f"{prefix}norm.bias": ones, f"{first}attn_mask": np.ones((4, 49, 49))}
    others = {f"encoder_k{name.removeprefix('encoder')}": array + 1 for name, array in source.items()}
    others |= {"projector.linear2.weight": ones, "queue": ones}
    return source | (others if moby else {"head.weight": ones, "head.bias": ones})
