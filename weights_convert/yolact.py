"""YOLACT's checkpoints: dbolya/yolact's names and order against the canonical ones, for every variant.

`layout` writes down a variant's whole state dict from its settings; everything else here reads that list.
"""

import re
from collections.abc import Collection, Iterator, Mapping

import numpy as np

from common.config import DarknetSettings, ResNetSettings
from common.families.yolact.settings import YolactSettings
from weights_convert import state_dicts
from weights_convert.finetuning import ClassRows
from weights_convert.state_dicts import Entry, Weights, check, conv

_COUNTER = "num_batches_tracked"  # BatchNorm's, of which the canonical form has none
# The convolutions whose size follows from the classes and priors.
HEADS = ("head.box.", "head.classes.", "head.coefficients.", "semantic.", "mask_iou_net.conv6.")


def layout(settings: YolactSettings) -> list[Entry]:
    """The original's state dict for these settings, in its own order."""
    network, classes = settings.network, settings.num_classes
    channels, masks = network.channels, network.prototypes
    priors = len(network.prior_scales[0]) * len(network.prior_ratios)
    backbone, widths = (_resnet if network.backbone.kind == "resnet" else _darknet)(network.backbone)
    entries = list(backbone)
    for number, position in enumerate((0, 2, 4, 8), start=1):
        entries += conv(f"proto_net.{position}", f"proto_net.conv{number}", channels, channels, 3)
    entries += conv("proto_net.10", "proto_net.conv5", masks, channels, 1)
    if network.mask_iou:
        sizes = (1, 8, 16, 32, 64, 128, classes)
        for number in range(1, 7):
            name, kernel = f"maskiou_net.maskiou_net.{2 * number - 2}", 3 if number < 6 else 1
            entries += conv(name, f"mask_iou_net.conv{number}", sizes[number], sizes[number - 1], kernel)
    # The original counts the pyramid's lateral and output convolutions from the coarsest level.
    for level in range(3):
        entries += conv(f"fpn.lat_layers.{level}", f"fpn.lateral.{2 - level}", channels, widths[2 - level], 1)
    for level in range(3):
        entries += conv(f"fpn.pred_layers.{level}", f"fpn.output.{2 - level}", channels, channels, 3)
    for level in range(2):
        entries += conv(f"fpn.downsample_layers.{level}", f"fpn.downsample.{level}", channels, channels, 3)
    head = "prediction_layers.0"
    entries += conv(f"{head}.upfeature.0", "head.trunk", channels, channels, 3)
    entries += conv(f"{head}.bbox_layer", "head.box", priors * 4, channels, 3)
    entries += conv(f"{head}.conf_layer", "head.classes", priors * (classes + 1), channels, 3)
    entries += conv(f"{head}.mask_layer", "head.coefficients", priors * masks, channels, 3)
    return entries + conv("semantic_seg_conv", "semantic", classes, channels, 1)


def classes_of(arrays: Mapping[str, np.ndarray]) -> int | None:
    """The number of classes that a checkpoint was made for."""
    biases = (arrays.get("semantic_seg_conv.bias"), arrays.get("semantic.bias"))
    return next((len(bias) for bias in biases if bias is not None and bias.ndim == 1), None)


def class_heads(settings: YolactSettings) -> dict[str, ClassRows]:
    """The heads whose rows belong to classes, by how the names of their arrays begin."""
    priors = len(settings.network.prior_scales[0]) * len(settings.network.prior_ratios)
    return {
        "head.classes.": ClassRows(background="first", groups=priors),
        "semantic.": ClassRows(),
        "mask_iou_net.conv6.": ClassRows(),
    }


def canonical_shapes(settings: YolactSettings) -> dict[str, tuple[int, ...]]:
    """The shape of every canonical array of a variant, in the original's order."""
    return {entry.canonical: entry.shape for entry in layout(settings) if entry.canonical}


def from_original(source: Mapping[str, np.ndarray], settings: YolactSettings, origin: str) -> Weights:
    """The original's arrays under canonical names; every name must be known and every one used.

    Here and in `from_canonical` the heads may have other sizes than the settings': another number of classes.
    """
    source = without_leftovers(source)
    entries = layout(settings)
    heads = {e.original for e in entries if e.canonical and e.canonical.startswith(HEADS)}
    counters = {e.original for e in entries if not e.canonical}  # PyTorch before 0.4.1 had none
    check(source, {e.original: e.shape for e in entries}, settings.model, origin, any_shape=heads, optional=counters)
    return {entry.canonical: source[entry.original] for entry in entries if entry.canonical}


def from_canonical(source: Mapping[str, np.ndarray], settings: YolactSettings, origin: str) -> Weights:
    """A framework's own checkpoint, or the backbone's part of one; PyTorch's counters are dropped."""
    weights = {name: array for name, array in source.items() if not name.endswith(_COUNTER)}
    shapes = canonical_shapes(settings)
    heads = {name for name in shapes if name.startswith(HEADS)}
    check(weights, shapes, settings.model, origin, any_shape=heads, optional=_dispensable(weights, shapes))
    return {name: weights[name] for name in shapes if name in weights}


def from_backbone(source: Mapping[str, np.ndarray], settings: YolactSettings, origin: str) -> Weights:
    """ImageNet weights of the backbone alone: torchvision's ResNets, and the original's own ResNet-101 and Darknet-53.

    The classifier (fc) is left out. A deformable convolution takes the plain one's weight; its bias and offsets are not
    in such a file.
    """
    entries = {e.original.removeprefix("backbone."): e for e in layout(settings) if e.original.startswith("backbone.")}
    source = {
        re.sub(r"^layer(\d)\.", lambda match: f"layers.{int(match[1]) - 1}.", name): array
        for name, array in source.items()
        if not name.startswith("fc.")
    }
    optional = {name for name, entry in entries.items() if not entry.canonical or _is_offset(name)}
    shapes = {name: entry.shape for name, entry in entries.items()}
    check(source, shapes, settings.model, f"{origin} as a backbone", optional=optional)
    return {entries[name].canonical: array for name, array in source.items() if entries[name].canonical}


def to_original(weights: Mapping[str, np.ndarray], settings: YolactSettings, origin: str) -> Weights:
    """Canonical weights as the original's state dict, in its order."""
    check(weights, canonical_shapes(settings), settings.model, origin)
    counter = np.zeros((), np.int64)
    return {entry.original: weights[entry.canonical] if entry.canonical else counter for entry in layout(settings)}


def fit_for_finetuning(
    weights: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]], origin: str
) -> tuple[Weights, list[str]]:
    """The weights that training can start from, and the names it must do without: heads of another size.

    A file of the backbone alone is one to start from too. Whatever else is missing, left over or of another shape is
    refused.
    """
    return state_dicts.fit_for_finetuning(weights, shapes, origin, HEADS, _dispensable(weights, shapes))


def without_leftovers(source: Mapping[str, np.ndarray]) -> Weights:
    """Drops what the original drops on loading: the backbone under its older names, and pyramid levels beyond P7."""

    def is_leftover(name: str) -> bool:
        level = re.match(r"fpn\.downsample_layers\.(\d+)\.", name)
        return re.match(r"backbone\.layer(?!s)", name) is not None or (level is not None and int(level[1]) >= 2)

    return {name: array for name, array in source.items() if not is_leftover(name)}


def _dispensable(weights: Collection[str], shapes: Collection[str]) -> set[str]:
    """The names of `shapes` that a file of the backbone alone does not have; none for any other file."""
    if not all(name.startswith("backbone.") for name in weights):
        return set()
    return {name for name in shapes if not name.startswith("backbone.") or _is_offset(name)}


def _is_offset(name: str) -> bool:
    """Whether a deformable convolution has this array and the plain one in its place has not."""
    return re.search(r"\.conv2\.(bias|offset_mask\.|conv_offset_mask\.)", name) is not None


def _norm(original: str, canonical: str, channels: int) -> list[Entry]:
    return [*state_dicts.norm(original, canonical, channels), Entry(f"{original}.{_COUNTER}", None, ())]


def _resnet(settings: ResNetSettings) -> tuple[Iterator[Entry], list[int]]:
    """The entries, and the channels of C3, C4, C5."""
    stem = settings.width
    entries = []
    into = stem
    for stage, (depth, deformable) in enumerate(zip(settings.depths, settings.deformable, strict=True)):
        width = stem * settings.groups * settings.width_per_group // 64 * 2**stage
        for block in range(depth):
            deform = block + deformable >= depth and block % settings.deformable_interval == 0
            names = f"backbone.layers.{stage}.{block}", f"backbone.layer{stage + 1}.{block}"
            entries += _bottleneck(*names, into, width, stem * 4 * 2**stage, settings.groups, deform, first=block == 0)
            into = stem * 4 * 2**stage
    entries += conv("backbone.conv1", "backbone.conv1", stem, 3, 7, bias=False)
    entries += _norm("backbone.bn1", "backbone.bn1", stem)
    return entries, [stem * 8, stem * 16, stem * 32]


def _bottleneck(
    original: str, canonical: str, into: int, width: int, out: int, groups: int, deform: bool, first: bool
) -> Iterator[Entry]:
    yield from conv(f"{original}.conv1", f"{canonical}.conv1", width, into, 1, bias=False)
    yield from _norm(f"{original}.bn1", f"{canonical}.bn1", width)
    yield from conv(f"{original}.conv2", f"{canonical}.conv2", width, width // groups, 3, bias=deform)
    if deform:
        # Of its 27 channels the first 18 are y, x offsets a tap, the last 9 the modulation.
        yield from conv(f"{original}.conv2.conv_offset_mask", f"{canonical}.conv2.offset_mask", 27, width, 3)
    yield from _norm(f"{original}.bn2", f"{canonical}.bn2", width)
    yield from conv(f"{original}.conv3", f"{canonical}.conv3", out, width, 1, bias=False)
    yield from _norm(f"{original}.bn3", f"{canonical}.bn3", out)
    if first:
        yield from conv(f"{original}.downsample.0", f"{canonical}.downsample.0", out, into, 1, bias=False)
        yield from _norm(f"{original}.downsample.1", f"{canonical}.downsample.1", out)


def _darknet(settings: DarknetSettings) -> tuple[Iterator[Entry], list[int]]:
    """The entries, and the channels of C3, C4, C5."""
    entries = []
    for stage, depth in enumerate(settings.depths):
        channels = 64 * 2**stage
        original, canonical = f"backbone.layers.{stage}", f"backbone.layer{stage + 1}"
        entries += _darknet_conv(f"{original}.0", f"{canonical}.0", channels, channels // 2, 3)
        for block in range(1, depth + 1):
            names = f"{original}.{block}", f"{canonical}.{block}"
            entries += _darknet_conv(*(f"{name}.conv1" for name in names), channels // 2, channels, 1)
            entries += _darknet_conv(*(f"{name}.conv2" for name in names), channels, channels // 2, 3)
    entries += _darknet_conv("backbone._preconv", "backbone.stem", 32, 3, 3)
    return entries, [256, 512, 1024]


def _darknet_conv(original: str, canonical: str, out: int, into: int, kernel: int) -> list[Entry]:
    norm = _norm(f"{original}.1", f"{canonical}.norm", out)
    return conv(f"{original}.0", f"{canonical}.conv", out, into, kernel, bias=False) + norm
