"""The state dicts of mmdetection's two-stage detectors, part by part, with a ResNet or a Swin as their backbone."""

from collections.abc import Callable, Iterator
from functools import partial

from common.families.mask_rcnn.settings import MaskRcnnSettings
from weights_convert import swins
from weights_convert.families import Layout
from weights_convert.families.mask_rcnn import parts
from weights_convert.resnets import MMDETECTION, stage, stem
from weights_convert.state_dicts import Entry, conv, linear, norm
from weights_convert.swins import SwinNames

# Whose files have a detector with a backbone of this kind, its original's first, and what they call a Swin's parts.
_UPSTREAMS: dict[str, dict[str, SwinNames | None]] = {
    "swin": {"swin_detection": swins.ORIGINAL, "mmdetection": swins.MMDETECTION},
    "resnet": {"mmdetection": None},
}

# A detector's state dict, whose Swin has these names.
NamedLayout = Callable[[MaskRcnnSettings, SwinNames | None], Iterator[Entry]]


def layouts_of(settings: MaskRcnnSettings, state_dict: NamedLayout) -> dict[str, Layout]:
    """A detector's state dicts by upstream; none of a variant whose backbone mmdetection's detectors have not."""
    named = _UPSTREAMS.get(settings.network.backbone.kind, {})
    return {upstream: partial(state_dict, names=names) for upstream, names in named.items()}


def mask_rcnn(settings: MaskRcnnSettings, names: SwinNames | None) -> Iterator[Entry]:
    """The state dict of mmdetection's Mask R-CNN."""
    yield from proposals(settings, names)
    yield from box_head("roi_head.bbox_head", "box_head", settings)
    yield from mask_head("roi_head.mask_head", "mask_head", settings)


def proposals(settings: MaskRcnnSettings, names: SwinNames | None) -> Iterator[Entry]:
    """What all of mmdetection's two-stage detectors have: a backbone, a feature pyramid and region proposals."""
    backbone = settings.network.backbone
    if names is None:
        yield from stem("backbone.conv1", "backbone.bn1", backbone, MMDETECTION)
        for number in range(1, 5):
            yield from stage(f"backbone.layer{number}", f"backbone.layer{number}", number, backbone, MMDETECTION)
    else:
        yield from swins.swin("backbone.", "backbone.", backbone, names)
    for level in range(4):
        yield from parts.lateral(f"neck.lateral_convs.{level}.conv", level, settings)
    for level in range(4):
        yield from parts.output(f"neck.fpn_convs.{level}.conv", level, settings)
    yield from parts.rpn("rpn_head.rpn_conv", "rpn_head.rpn_cls", "rpn_head.rpn_reg", settings)


def box_head(
    original: str,
    canonical: str,
    settings: MaskRcnnSettings,
    convolutions: int = 0,
    layers: int = 2,
    class_agnostic: bool = False,
) -> Iterator[Entry]:
    """A box head of 3x3 convolutions with batch norm and linear layers; the last ones stand before them.

    class_agnostic: all classes share a region's offsets.
    """
    network, classes = settings.network, settings.num_classes
    channels, hidden = network.channels, network.box_channels
    yield from linear(f"{original}.fc_cls", f"{canonical}.classes", classes + 1, hidden)
    yield from linear(f"{original}.fc_reg", f"{canonical}.deltas", 4 if class_agnostic else 4 * classes, hidden)
    for number in range(convolutions):
        layer = f"{original}.shared_convs.{number}"
        yield from conv(f"{layer}.conv", f"{canonical}.conv{number + 1}", channels, channels, 3, bias=False)
        yield from norm(f"{layer}.bn", f"{canonical}.bn{number + 1}", channels, counter=True)
    for number in range(layers):
        into = hidden if number else channels * network.box_size**2
        yield from linear(f"{original}.shared_fcs.{number}", f"{canonical}.fc{number + 1}", hidden, into)


def mask_head(original: str, canonical: str, settings: MaskRcnnSettings) -> Iterator[Entry]:
    """A mask head of four 3x3 convolutions."""
    channels = settings.network.channels
    for number in range(4):
        yield from conv(f"{original}.convs.{number}.conv", f"{canonical}.conv{number + 1}", channels, channels, 3)
    # A transposed convolution has its inputs first.
    yield Entry(f"{original}.upsample.weight", f"{canonical}.deconv.weight", (channels, channels, 2, 2))
    yield Entry(f"{original}.upsample.bias", f"{canonical}.deconv.bias", (channels,))
    yield from conv(f"{original}.conv_logits", f"{canonical}.logits", settings.num_classes, channels, 1)
