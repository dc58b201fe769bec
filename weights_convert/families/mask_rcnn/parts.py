"""The arrays of Mask R-CNN part by part: their canonical names and shapes, beside the names that an upstream gives."""

from collections.abc import Iterable, Iterator

from common.families.mask_rcnn.settings import MaskRcnnSettings
from weights_convert import swins
from weights_convert.resnets import stage_channels
from weights_convert.state_dicts import Entry, conv, linear


def lateral(original: str, level: int, settings: MaskRcnnSettings) -> list[Entry]:
    """The pyramid's 1x1 convolution of the backbone's map of this level, from 0 (C2) to 3."""
    backbone = settings.network.backbone
    into = (swins.stage_channels if backbone.kind == "swin" else stage_channels)(backbone)[level]
    return conv(original, f"fpn.lateral.{level}", settings.network.channels, into, 1)


def output(original: str, level: int, settings: MaskRcnnSettings) -> list[Entry]:
    """The pyramid's 3x3 convolution that ends this level, from 0 (P2) to 3."""
    return conv(original, f"fpn.output.{level}", settings.network.channels, settings.network.channels, 3)


def rpn(convolution: str, logits: str, deltas: str, settings: MaskRcnnSettings) -> Iterator[Entry]:
    """The head of the region proposal network, which all levels share."""
    channels = settings.network.channels if settings.network.fpn else stage_channels(settings.network.backbone)[2]
    yield from conv(convolution, "rpn.conv", channels, channels, 3)
    yield from conv(logits, "rpn.objectness", anchors_per_cell(settings), channels, 1)
    yield from conv(deltas, "rpn.deltas", anchors_per_cell(settings) * 4, channels, 1)


def anchors_per_cell(settings: MaskRcnnSettings) -> int:
    """The number of anchors at each cell of a map."""
    return len(settings.rpn.anchor_sizes[0]) * len(settings.rpn.anchor_ratios)


def fully_connected(first: str, second: str, settings: MaskRcnnSettings) -> Iterator[Entry]:
    """The two linear layers of a pyramid's box head."""
    hidden = settings.network.box_channels
    yield from linear(first, "box_head.fc1", hidden, settings.network.channels * settings.network.box_size**2)
    yield from linear(second, "box_head.fc2", hidden, hidden)


def box_predictor(classes: str, deltas: str, settings: MaskRcnnSettings) -> Iterator[Entry]:
    """The last layers of the box head: a score for each class and the background, and each class's box offsets."""
    wide = stage_channels(settings.network.backbone)[3]
    into = settings.network.box_channels if settings.network.fpn else wide
    yield from linear(classes, "box_head.classes", settings.num_classes + 1, into)
    yield from linear(deltas, "box_head.deltas", _boxed_classes(settings) * 4, into)


def mask_convolutions(originals: Iterable[str], settings: MaskRcnnSettings) -> Iterator[Entry]:
    """The 3x3 convolutions of a pyramid's mask head, in their order."""
    channels = settings.network.channels
    for number, original in enumerate(originals, start=1):
        yield from conv(original, f"mask_head.conv{number}", channels, channels, 3)


def mask_predictor(deconvolution: str, logits: str, settings: MaskRcnnSettings) -> Iterator[Entry]:
    """The last layers of the mask head: the transposed convolution, and a mask for each class."""
    channels = settings.network.channels
    into = channels if settings.network.fpn else stage_channels(settings.network.backbone)[3]
    # A transposed convolution has its inputs first.
    yield Entry(f"{deconvolution}.weight", "mask_head.deconv.weight", (into, channels, 2, 2))
    yield Entry(f"{deconvolution}.bias", "mask_head.deconv.bias", (channels,))
    yield from conv(logits, "mask_head.logits", _boxed_classes(settings), channels, 1)


def _boxed_classes(settings: MaskRcnnSettings) -> int:
    """The number of classes that have boxes and masks: a background that stands last has none."""
    return settings.num_classes + (settings.network.background == "first")
