"""Detectron: the blobs of its Caffe2 detectors, and of backbones that were trained on ImageNet."""

import re
from collections.abc import Collection, Mapping

import numpy as np

from common.config import Settings
from common.errors import UserError
from weights_convert.families import family_of
from weights_convert.formats import Format
from weights_convert.state_dicts import Weights, check, without

# The optimizer's momentum, ImageNet's classifier, and the bias of a convolution that a norm follows.
_IGNORED = r".*_momentum|(fc1000|pred)_[wb]|conv1_b"


def recognises(names: Collection[str]) -> bool:
    """Whether a file's arrays are Caffe2's blobs of a residual network."""
    return "res2_0_branch2a_w" in names


def serves(settings: Settings) -> bool:
    """Whether Detectron has the model, or a backbone for it."""
    return "caffe2" in family_of(settings).layouts(settings)


def read(source: Mapping[str, np.ndarray], settings: Settings, origin: str) -> Weights:
    """The blobs of a detector, or of a backbone alone, under canonical names.

    A norm's blobs are a scale and a bias; its running mean becomes 0, and its running variance 1.
    """
    family = family_of(settings)
    source = without(source, _IGNORED)
    entries = family.layout(settings, "caffe2")
    optional = set()
    if all(re.match(r"conv1_|res", blob) for blob in source):
        optional = {entry.original for entry in entries if not entry.canonical.startswith(family.backbone)}
    elif family.original(settings) != "maskrcnn_benchmark":
        raise UserError(f"{origin}: a detector of Caffe2 has the conventions of maskrcnn_benchmark's models")
    heads = {entry.original for entry in entries if family.is_head(entry.canonical)}
    shapes = {entry.original: entry.shape for entry in entries}
    check(source, shapes, settings.model, origin, any_shape=heads, optional=optional)
    weights = {entry.canonical: source[entry.original] for entry in entries if entry.original in source}
    return _with_statistics(weights, family.canonical_shapes(settings))


def _with_statistics(weights: Weights, shapes: Mapping[str, tuple[int, ...]]) -> Weights:
    """The weights in the order of `shapes`, each norm among them with a running mean of 0 and variance of 1."""
    complete = {}
    for name, shape in shapes.items():
        layer, _, leaf = name.rpartition(".")
        if name in weights:
            complete[name] = weights[name]
        elif leaf in ("running_mean", "running_var") and f"{layer}.weight" in weights:
            complete[name] = np.full(shape, leaf == "running_var", np.float32)
    return complete


UPSTREAM = Format(
    name="caffe2",
    recognises=recognises,
    serves=serves,
    read=read,
    licence="CC BY-SA 3.0 where published in Detectron's model zoo, else as its author says",
)
