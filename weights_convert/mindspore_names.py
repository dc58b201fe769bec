"""What MindSpore calls a norm's parameters; all else has its canonical name there."""

from collections.abc import Mapping

import numpy as np

_LEAVES = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
_CANONICAL_LEAVES = {mindspore: canonical for canonical, mindspore in _LEAVES.items()}


def to_mindspore(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    norms = {name.removesuffix(".running_mean") for name in weights if name.endswith(".running_mean")}
    return {_renamed(name, _LEAVES) if name.rpartition(".")[0] in norms else name: a for name, a in weights.items()}


def from_mindspore(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {_renamed(name, _CANONICAL_LEAVES): array for name, array in arrays.items()}


def _renamed(name: str, leaves: Mapping[str, str]) -> str:
    path, dot, leaf = name.rpartition(".")
    return path + dot + leaves.get(leaf, leaf)
