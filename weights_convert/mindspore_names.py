"""MindSpore's names for the parameters of norms; all other arrays have their canonical names there."""

from collections.abc import Iterable, Mapping

import numpy as np

from common.norm_names import CANONICAL
from weights_convert.state_dicts import Entry

_LEAVES = {leaf: mindspore for mindspore, leaf in CANONICAL.items()}


def to_mindspore(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Canonical arrays under MindSpore's names; a norm is a layer that has a running mean."""
    norms = {name.removesuffix(".running_mean") for name in weights if name.endswith(".running_mean")}
    return {_renamed(name, _LEAVES) if name.rpartition(".")[0] in norms else name: a for name, a in weights.items()}


def entries_to_mindspore(entries: Iterable[Entry]) -> list[Entry]:
    """The arrays of a state dict, norms under MindSpore's names and in its order, with the statistics first."""
    layers: dict[str, list[Entry]] = {}
    for entry in entries:
        layers.setdefault(entry.original.rpartition(".")[0], []).append(entry)
    renamed = []
    for layer in layers.values():
        if any(entry.original.endswith(".running_mean") for entry in layer):
            layer = [each._replace(original=_renamed(each.original, _LEAVES)) for each in layer[2:] + layer[:2]]
        renamed += layer
    return renamed


def from_mindspore(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of a MindSpore checkpoint under canonical names."""
    return {_renamed(name, CANONICAL): array for name, array in arrays.items()}


def _renamed(name: str, leaves: Mapping[str, str]) -> str:
    path, dot, leaf = name.rpartition(".")
    return path + dot + leaves.get(leaf, leaf)
