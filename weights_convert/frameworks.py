"""The formats of the project itself: the canonical file and the three frameworks' own checkpoints, for every model."""

from collections.abc import Collection, Mapping
from functools import partial

import numpy as np

from common.config import Settings
from common.families import family_names
from weights_convert import mindspore_names, writers
from weights_convert.families import family_named, family_of
from weights_convert.formats import Format
from weights_convert.state_dicts import Weights, check, without_counters

# The wings' feature pyramid; no upstream has a name that begins so.
_PYRAMID = "fpn.lateral."


def serves_all(settings: Settings) -> bool:
    """True: every model can be saved in its framework's own way."""
    return True


def has_canonical_names(names: Collection[str]) -> bool:
    """Whether arrays have names of the networks here: a pyramid, or a head of some family."""
    families = [family_named(name) for name in family_names()]
    is_known = any(name.startswith(_PYRAMID) or any(each.is_head(name) for each in families) for name in names)
    return is_known and not has_mindspore_names(names)


def has_mindspore_names(names: Collection[str]) -> bool:
    """Whether arrays have MindSpore's names for the statistics of norms."""
    return any(name.endswith(".moving_mean") for name in names)


def read_canonical(source: Mapping[str, np.ndarray], settings: Settings, origin: str) -> Weights:
    """A framework's own checkpoint, or the part of one that training starts from; PyTorch's counters are dropped.

    The layers whose size follows from the number of classes may have another size than the settings say. Where only
    the network tells the names and shapes, nothing is checked.
    """
    weights, family = without_counters(source), family_of(settings)
    shapes = family.canonical_shapes(settings)
    if shapes is None:
        return weights
    heads = {name for name in shapes if family.is_head(name)}
    check(weights, shapes, settings.model, origin, any_shape=heads, optional=family.dispensable(weights, shapes))
    return {name: weights[name] for name in shapes if name in weights}


def read_mindspore(source: Mapping[str, np.ndarray], settings: Settings, origin: str) -> Weights:
    """A checkpoint of MindSpore, in which norms have other names."""
    return read_canonical(mindspore_names.from_mindspore(source), settings, origin)


def write_canonical(weights: Mapping[str, np.ndarray], settings: Settings, origin: str) -> Weights:
    """Canonical weights as they are."""
    return dict(weights)


def write_mindspore(weights: Mapping[str, np.ndarray], settings: Settings, origin: str) -> Weights:
    """Canonical weights under MindSpore's names."""
    return mindspore_names.to_mindspore(weights)


_own_names = partial(Format, serves=serves_all, read=read_canonical, write=write_canonical)

# A canonical file is saved together with its card, by `common.weights`.
CANONICAL = _own_names("canonical", recognises=has_canonical_names, endings=(".safetensors",))
FRAMEWORKS = (
    CANONICAL,
    _own_names("torch", save=writers.write_pth, endings=(".pth", ".pt")),
    _own_names("jittor", save=writers.write_jittor, endings=(".pkl",)),
    Format(
        "mindspore",
        serves=serves_all,
        recognises=has_mindspore_names,
        read=read_mindspore,
        write=write_mindspore,
        save=writers.write_mindspore,
        endings=(".ckpt",),
    ),
)
