"""Pose2Seg's checkpoints: the original's names and order against the canonical ones.

Its Jittor port has the same names, without PyTorch's counters and with the mean and the deviation of the input.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np

from common.errors import UserError
from common.families.pose2seg.settings import Pose2SegSettings
from weights_convert import state_dicts
from weights_convert.finetuning import ClassRows
from weights_convert.state_dicts import Entry, Shapes, Weights, check, conv

_COUNTER = "num_batches_tracked"  # BatchNorm's, of which the canonical form has none
# What the original's loader renames: an older name of the segmentation network.
_OLD_SEGNET = "pose2seg.seg_branch"
# In the Jittor port every array of a module is a parameter, so its files hold these (3, 512, 512) too.
_INPUT_CONSTANTS = ("mean", "std")
# In the backbone the original calls the shortcut so.
_SHORTCUT = {"conv4": "downsample.0", "bn4": "downsample.1"}


def layout(settings: Pose2SegSettings) -> list[Entry]:
    """The original's state dict for these settings, in its own order."""
    return [*_backbone(settings), *_pyramid(settings), *_segnet(settings)]


def classes_of(arrays: Mapping[str, np.ndarray]) -> None:
    """Persons are the one class of all checkpoints."""
    return None


def class_heads(settings: Pose2SegSettings) -> dict[str, ClassRows]:
    """No head has rows of classes."""
    return {}


def canonical_shapes(settings: Pose2SegSettings) -> dict[str, tuple[int, ...]]:
    """The shape of every canonical array of a variant, in the original's order."""
    return {entry.canonical: entry.shape for entry in layout(settings) if entry.canonical}


def from_original(source: Mapping[str, np.ndarray], settings: Pose2SegSettings, origin: str) -> Weights:
    """The arrays of the original or its port under canonical names; every name must be known and every one used."""
    renamed = {}
    for name, array in source.items():
        new = name.replace(_OLD_SEGNET, "segnet")
        if new in renamed:
            raise UserError(f"{origin}: it holds {new} twice, under its old name too")
        renamed[new] = array
    renamed = {name: array for name, array in renamed.items() if name not in _INPUT_CONSTANTS}
    entries = layout(settings)
    counters = {entry.original for entry in entries if not entry.canonical}
    check(renamed, {e.original: e.shape for e in entries}, settings.model, origin, optional=counters)
    return {entry.canonical: renamed[entry.original] for entry in entries if entry.canonical}


def from_canonical(source: Mapping[str, np.ndarray], settings: Pose2SegSettings, origin: str) -> Weights:
    """A framework's own checkpoint, or the backbone's part of one; PyTorch's counters are dropped."""
    weights = {name: array for name, array in source.items() if not name.endswith(_COUNTER)}
    shapes = canonical_shapes(settings)
    check(weights, shapes, settings.model, origin, optional=_dispensable(weights, shapes))
    return {name: weights[name] for name in shapes if name in weights}


def from_backbone(source: Mapping[str, np.ndarray], settings: Pose2SegSettings, origin: str) -> Weights:
    """ImageNet weights of the backbone alone: torchvision's, and what the original makes of them.

    The classifier (fc) is left out, and the pyramid, which the original's file has with the numbers it was drawn with.
    """
    plain = {}
    for name, array in source.items():
        if not name.startswith(("fc.", "fpn_")) and not name.endswith(_COUNTER):
            plain[re.sub(r"\b(conv4|bn4)\b", lambda match: _SHORTCUT[match[1]], name)] = array
    shapes = {name: shape for name, shape in canonical_shapes(settings).items() if name.startswith("backbone.")}
    wanted = {name.removeprefix("backbone."): shape for name, shape in shapes.items()}
    check(plain, wanted, settings.model, f"{origin} as a backbone")
    return {name: plain[name.removeprefix("backbone.")] for name in shapes}


def to_original(weights: Mapping[str, np.ndarray], settings: Pose2SegSettings, origin: str) -> Weights:
    """Canonical weights as the original's state dict, in its order."""
    check(weights, canonical_shapes(settings), settings.model, origin)
    counter = np.zeros((), np.int64)
    return {entry.original: weights[entry.canonical] if entry.canonical else counter for entry in layout(settings)}


def to_port(weights: Mapping[str, np.ndarray], settings: Pose2SegSettings, origin: str) -> Weights:
    """Canonical weights as the Jittor port's, which loads what it finds and makes its constants itself."""
    original = to_original(weights, settings, origin)
    return {name: array for name, array in original.items() if not name.endswith(_COUNTER)}


def fit_for_finetuning(weights: Mapping[str, np.ndarray], shapes: Shapes, origin: str) -> tuple[Weights, list[str]]:
    """The weights that training can start from: all, or the backbone's alone; nothing is left out of them."""
    return state_dicts.fit_for_finetuning(weights, shapes, origin, (), _dispensable(weights, shapes))


def _dispensable(weights: Collection[str], shapes: Iterable[str]) -> set[str]:
    """The names of `shapes` that a file of the backbone alone does not have; none for any other file."""
    if not all(name.startswith("backbone.") for name in weights):
        return set()
    return {name for name in shapes if not name.startswith("backbone.")}


def _norm(original: str, canonical: str, channels: int) -> list[Entry]:
    return [*state_dicts.norm(original, canonical, channels), Entry(f"{original}.{_COUNTER}", None, ())]


def _backbone(settings: Pose2SegSettings) -> Iterator[Entry]:
    backbone = settings.network.backbone
    stem = into = backbone.width
    yield from conv("backbone.conv1", "backbone.conv1", stem, 3, 7, bias=False)
    yield from _norm("backbone.bn1", "backbone.bn1", stem)
    for stage, depth in enumerate(backbone.depths):
        width = stem * backbone.groups * backbone.width_per_group // 64 * 2**stage
        for block in range(depth):
            name, out = f"backbone.layer{stage + 1}.{block}", stem * 4 * 2**stage
            yield from _bottleneck(name, into, width, out, backbone.groups, bias=False)
            if block == 0:
                yield from conv(f"{name}.conv4", f"{name}.downsample.0", out, into, 1, bias=False)
                yield from _norm(f"{name}.bn4", f"{name}.downsample.1", out)
            into = out


def _bottleneck(name: str, into: int, width: int, out: int, groups: int, bias: bool) -> Iterator[Entry]:
    yield from conv(f"{name}.conv1", f"{name}.conv1", width, into, 1, bias)
    yield from _norm(f"{name}.bn1", f"{name}.bn1", width)
    yield from conv(f"{name}.conv2", f"{name}.conv2", width, width // groups, 3, bias)
    yield from _norm(f"{name}.bn2", f"{name}.bn2", width)
    yield from conv(f"{name}.conv3", f"{name}.conv3", out, width, 1, bias)
    yield from _norm(f"{name}.bn3", f"{name}.bn3", out)


def _pyramid(settings: Pose2SegSettings) -> Iterator[Entry]:
    """The original counts from the coarsest level, and calls the finest 1."""
    channels = settings.network.channels
    for level in reversed(range(4)):
        into, number = settings.network.backbone.width * 4 * 2**level, level + 1
        yield from conv(f"backbone.fpn_c{number}p{number}", f"fpn.lateral.{level}", channels, into, 1)
    for level in reversed(range(4)):
        yield from conv(f"backbone.fpn_p{level + 1}", f"fpn.output.{level}", channels, channels, 3)


def _segnet(settings: Pose2SegSettings) -> Iterator[Entry]:
    network = settings.network
    width, decoder = network.segnet_width, network.segnet_width // 2
    yield from conv("segnet.conv1", "segnet.conv1", width, settings.person_channels, 7)
    yield from _norm("segnet.bn1", "segnet.bn1", width)
    for block in range(network.segnet_blocks):
        yield from _biased_block(f"segnet.layer1.{block}", width if block == 0 else width * 4, width)
    yield from _biased_block("segnet.decoder1.0", width * 4, decoder)
    yield from conv("segnet.pred_small", "segnet.pred_small", 2, decoder * 4, 1)


def _biased_block(name: str, into: int, width: int) -> Iterator[Entry]:
    yield from _bottleneck(name, into, width, width * 4, groups=1, bias=True)
    if into != width * 4:
        yield from conv(f"{name}.downsample.0", f"{name}.downsample.0", width * 4, into, 1)
        yield from _norm(f"{name}.downsample.1", f"{name}.downsample.1", width * 4)
