"""The weights of YOLACT and YOLACT++: the original's state dict for every variant, written down from its settings."""

import re
from collections.abc import Iterator, Mapping

import numpy as np

from common.config import DarknetSettings
from common.families.yolact.settings import YolactSettings
from weights_convert import resnets
from weights_convert.families import FamilyWeights
from weights_convert.finetuning import ClassRows
from weights_convert.resnets import ResNetNames
from weights_convert.state_dicts import Entry, Weights, check, conv, norm

_RESNET = ResNetNames(counters=True)
_ADDED_TO_BACKBONE = r"backbone\..*\.conv2\.(bias|offset_mask\..*)"


def layout(settings: YolactSettings) -> Iterator[Entry]:
    """The original's state dict for these settings, in its own order."""
    yield from _backbone(settings)
    yield from _prototype_network(settings)
    yield from _pyramid(settings)
    yield from _head(settings)


def class_heads(settings: YolactSettings) -> dict[str, ClassRows]:
    """The heads whose rows belong to classes, by how the names of their arrays begin."""
    return {
        "head.classes.": ClassRows(background="first", groups=_priors(settings)),
        "semantic.": ClassRows(),
        "mask_iou_net.conv6.": ClassRows(),
    }


def read_backbone(source: Mapping[str, np.ndarray], settings: YolactSettings, origin: str) -> Weights:
    """The backbone's canonical arrays of ImageNet weights: torchvision's ResNets, and the original's own files.

    The original has a ResNet-101 and a Darknet-53. The classifier (fc) is left out. A deformable convolution takes the
    weight of the plain one; its bias and offsets are not in such a file.
    """
    entries = {entry.original.removeprefix("backbone."): entry for entry in _backbone(settings)}
    source = {
        re.sub(r"^layer(\d)\.", lambda match: f"layers.{int(match[1]) - 1}.", name): array
        for name, array in source.items()
        if not name.startswith("fc.")
    }
    optional = {
        name
        for name, entry in entries.items()
        if not entry.canonical or re.fullmatch(_ADDED_TO_BACKBONE, entry.canonical)
    }
    shapes = {name: entry.shape for name, entry in entries.items()}
    check(source, shapes, settings.model, f"{origin} as a backbone", optional=optional)
    return {entries[name].canonical: array for name, array in source.items() if entries[name].canonical}


WEIGHTS = FamilyWeights(
    layouts=lambda settings: {"yolact": layout},
    # The convolutions whose size follows from the classes and priors.
    heads=("head.box.", "head.classes.", "head.coefficients.", "semantic.", "mask_iou_net.conv6."),
    class_heads=class_heads,
    class_bias="semantic.bias",
    read_backbone=read_backbone,
    added_to_backbone=_ADDED_TO_BACKBONE,
)


def _priors(settings: YolactSettings) -> int:
    return len(settings.network.prior_scales[0]) * len(settings.network.prior_ratios)


def _backbone(settings: YolactSettings) -> Iterator[Entry]:
    backbone = settings.network.backbone
    if backbone.kind == "darknet":
        yield from _darknet(backbone)
        return
    for number in range(1, 5):
        names = f"backbone.layers.{number - 1}", f"backbone.layer{number}"
        yield from resnets.stage(*names, number, backbone, _RESNET)
    yield from resnets.stem("backbone.conv1", "backbone.bn1", backbone, _RESNET)


def _darknet(settings: DarknetSettings) -> Iterator[Entry]:
    for stage, depth in enumerate(settings.depths):
        channels = 64 * 2**stage
        original, canonical = f"backbone.layers.{stage}", f"backbone.layer{stage + 1}"
        yield from _darknet_conv(f"{original}.0", f"{canonical}.0", channels, channels // 2, 3)
        for block in range(1, depth + 1):
            names = f"{original}.{block}", f"{canonical}.{block}"
            yield from _darknet_conv(*(f"{name}.conv1" for name in names), channels // 2, channels, 1)
            yield from _darknet_conv(*(f"{name}.conv2" for name in names), channels, channels // 2, 3)
    yield from _darknet_conv("backbone._preconv", "backbone.stem", 32, 3, 3)


def _darknet_conv(original: str, canonical: str, out: int, into: int, kernel: int) -> Iterator[Entry]:
    yield from conv(f"{original}.0", f"{canonical}.conv", out, into, kernel, bias=False)
    yield from norm(f"{original}.1", f"{canonical}.norm", out, counter=True)


def _prototype_network(settings: YolactSettings) -> Iterator[Entry]:
    """The prototype network's arrays, and those of YOLACT++'s network that predicts the IoU of masks."""
    channels = settings.network.channels
    for number, position in enumerate((0, 2, 4, 8), start=1):
        yield from conv(f"proto_net.{position}", f"proto_net.conv{number}", channels, channels, 3)
    yield from conv("proto_net.10", "proto_net.conv5", settings.network.prototypes, channels, 1)
    if settings.network.mask_iou:
        sizes = (1, 8, 16, 32, 64, 128, settings.num_classes)
        for number in range(1, 7):
            name, kernel = f"maskiou_net.maskiou_net.{2 * number - 2}", 3 if number < 6 else 1
            yield from conv(name, f"mask_iou_net.conv{number}", sizes[number], sizes[number - 1], kernel)


def _pyramid(settings: YolactSettings) -> Iterator[Entry]:
    """The pyramid's arrays; the original counts its lateral and output convolutions from the coarsest level."""
    channels, backbone = settings.network.channels, settings.network.backbone
    widths = [256, 512, 1024] if backbone.kind == "darknet" else resnets.stage_channels(backbone)[1:]
    for level in range(3):
        yield from conv(f"fpn.lat_layers.{level}", f"fpn.lateral.{2 - level}", channels, widths[2 - level], 1)
    for level in range(3):
        yield from conv(f"fpn.pred_layers.{level}", f"fpn.output.{2 - level}", channels, channels, 3)
    for level in range(2):
        yield from conv(f"fpn.downsample_layers.{level}", f"fpn.downsample.{level}", channels, channels, 3)


def _head(settings: YolactSettings) -> Iterator[Entry]:
    head, channels, priors = "prediction_layers.0", settings.network.channels, _priors(settings)
    yield from conv(f"{head}.upfeature.0", "head.trunk", channels, channels, 3)
    yield from conv(f"{head}.bbox_layer", "head.box", priors * 4, channels, 3)
    yield from conv(f"{head}.conf_layer", "head.classes", priors * (settings.num_classes + 1), channels, 3)
    yield from conv(f"{head}.mask_layer", "head.coefficients", priors * settings.network.prototypes, channels, 3)
    yield from conv("semantic_seg_conv", "semantic", settings.num_classes, channels, 1)
