"""The weights of Pose2Seg: the state dicts of the original and of its Jittor port."""

import re
from collections.abc import Iterator, Mapping

import numpy as np

from common.data.class_names import PERSONS
from common.families.pose2seg.settings import Pose2SegSettings
from weights_convert import resnets
from weights_convert.families import FamilyWeights, Layout
from weights_convert.resnets import ResNetNames
from weights_convert.state_dicts import Entry, Weights, check, conv, norm, without_counters

_BACKBONE = ResNetNames(shortcut="conv4", shortcut_norm="bn4", counters=True)
_SEGNET = ResNetNames(counters=True)
# The backbone's names for a shortcut, as torchvision has them.
_SHORTCUT = {_BACKBONE.shortcut: "downsample.0", _BACKBONE.shortcut_norm: "downsample.1"}


def layout(settings: Pose2SegSettings) -> Iterator[Entry]:
    """The original's state dict for these settings, in its own order."""
    yield from _backbone(settings)
    yield from _pyramid(settings)
    yield from _segnet(settings)


def layout_of_port(settings: Pose2SegSettings) -> Iterator[Entry]:
    """The Jittor port's state dict, which has no counters; it makes the mean and deviation of its input itself."""
    return (entry for entry in layout(settings) if entry.canonical)


def layouts_of(settings: Pose2SegSettings) -> dict[str, Layout]:
    """The state dicts of the original and of its port; a variant without a ResNet as its backbone is neither's."""
    if settings.network.backbone.kind != "resnet":
        return {}
    return {"pose2seg": layout, "pose2seg_jittor": layout_of_port}


def read_backbone(source: Mapping[str, np.ndarray], settings: Pose2SegSettings, origin: str) -> Weights:
    """The backbone's canonical arrays of ImageNet weights: torchvision's, and the file that the original makes of them.

    The classifier (fc) is left out, and the pyramid, which the original's file has with the numbers it was drawn with.
    """
    plain = {
        re.sub(r"\b(conv4|bn4)\b", lambda match: _SHORTCUT[match[1]], name): array
        for name, array in without_counters(source).items()
        if not name.startswith(("fc.", "fpn_"))
    }
    shapes = {entry.canonical: entry.shape for entry in _backbone(settings) if entry.canonical}
    wanted = {name.removeprefix("backbone."): shape for name, shape in shapes.items()}
    check(plain, wanted, settings.model, f"{origin} as a backbone")
    return {name: plain[name.removeprefix("backbone.")] for name in shapes}


WEIGHTS = FamilyWeights(
    layouts=layouts_of,
    class_names=lambda count: PERSONS,
    read_backbone=read_backbone,
)


def _backbone(settings: Pose2SegSettings) -> Iterator[Entry]:
    backbone = settings.network.backbone
    yield from resnets.stem("backbone.conv1", "backbone.bn1", backbone, _BACKBONE)
    for number in range(1, 5):
        name = f"backbone.layer{number}"
        yield from resnets.stage(name, name, number, backbone, _BACKBONE)


def _pyramid(settings: Pose2SegSettings) -> Iterator[Entry]:
    """The pyramid's arrays; the original counts from the coarsest level, and calls the finest 1."""
    channels, widths = settings.network.channels, resnets.stage_channels(settings.network.backbone)
    for level in reversed(range(4)):
        original = f"backbone.fpn_c{level + 1}p{level + 1}"
        yield from conv(original, f"fpn.lateral.{level}", channels, widths[level], 1)
    for level in reversed(range(4)):
        yield from conv(f"backbone.fpn_p{level + 1}", f"fpn.output.{level}", channels, channels, 3)


def _segnet(settings: Pose2SegSettings) -> Iterator[Entry]:
    width = settings.network.segnet_width
    decoder = width // 2
    yield from conv("segnet.conv1", "segnet.conv1", width, settings.person_channels, 7)
    yield from norm("segnet.bn1", "segnet.bn1", width, counter=True)
    for block in range(settings.network.segnet_blocks):
        yield from _biased_block(f"segnet.layer1.{block}", width if block == 0 else width * 4, width)
    yield from _biased_block("segnet.decoder1.0", width * 4, decoder)
    yield from conv("segnet.pred_small", "segnet.pred_small", 2, decoder * 4, 1)


def _biased_block(name: str, into: int, width: int) -> Iterator[Entry]:
    """The arrays of a block whose convolutions have biases; one that changes the number of channels has a shortcut."""
    channels, shortcut = (into, width, width * 4), into != width * 4
    yield from resnets.bottleneck(name, name, channels, _SEGNET, shortcut=shortcut, bias=True)
