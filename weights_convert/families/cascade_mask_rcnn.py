"""The weights of Cascade Mask R-CNN, whose originals are Swin-Transformer-Object-Detection and mmdetection."""

from collections.abc import Iterator
from functools import partial

from common.families.cascade_mask_rcnn.settings import CascadeSettings
from weights_convert import swins
from weights_convert.families import FamilyWeights, Layout
from weights_convert.finetuning import ClassRows
from weights_convert.state_dicts import Entry, conv, linear, norm
from weights_convert.swins import SwinNames


def state_dict(settings: CascadeSettings, names: SwinNames) -> Iterator[Entry]:
    """The state dict of mmdetection's detector, in whose files a Swin has these names."""
    network = settings.network
    yield from swins.swin("backbone.", "backbone.", network.backbone, names)
    channels = network.channels
    for level, into in enumerate(swins.stage_channels(network.backbone)):
        yield from conv(f"neck.lateral_convs.{level}.conv", f"fpn.lateral.{level}", channels, into, 1)
    for level in range(4):
        yield from conv(f"neck.fpn_convs.{level}.conv", f"fpn.output.{level}", channels, channels, 3)
    anchors = len(settings.rpn.anchor_sizes[0]) * len(settings.rpn.anchor_ratios)
    yield from conv("rpn_head.rpn_conv", "rpn.conv", channels, channels, 3)
    yield from conv("rpn_head.rpn_cls", "rpn.objectness", anchors, channels, 1)
    yield from conv("rpn_head.rpn_reg", "rpn.deltas", 4 * anchors, channels, 1)
    for stage in range(len(settings.stages)):
        yield from _box_head(f"roi_head.bbox_head.{stage}", f"box_heads.{stage}", settings)
    for stage in range(len(settings.stages)):
        yield from _mask_head(f"roi_head.mask_head.{stage}", f"mask_heads.{stage}", settings)


def _box_head(original: str, canonical: str, settings: CascadeSettings) -> Iterator[Entry]:
    network, classes = settings.network, settings.num_classes
    yield from linear(f"{original}.fc_cls", f"{canonical}.classes", classes + 1, network.box_channels)
    boxes = 1 if network.class_agnostic_boxes else classes
    yield from linear(f"{original}.fc_reg", f"{canonical}.deltas", 4 * boxes, network.box_channels)
    for number in range(network.box_convolutions):
        layer, channels = f"{original}.shared_convs.{number}", network.channels
        yield from conv(f"{layer}.conv", f"{canonical}.conv{number + 1}", channels, channels, 3, bias=False)
        yield from norm(f"{layer}.bn", f"{canonical}.bn{number + 1}", channels, counter=True)
    for number in range(network.box_layers):
        into = network.box_channels if number else network.channels * network.box_size**2
        yield from linear(f"{original}.shared_fcs.{number}", f"{canonical}.fc{number + 1}", network.box_channels, into)


def _mask_head(original: str, canonical: str, settings: CascadeSettings) -> Iterator[Entry]:
    channels = settings.network.channels
    for number in range(4):
        yield from conv(f"{original}.convs.{number}.conv", f"{canonical}.conv{number + 1}", channels, channels, 3)
    # A transposed convolution has its inputs first.
    yield Entry(f"{original}.upsample.weight", f"{canonical}.deconv.weight", (channels, channels, 2, 2))
    yield Entry(f"{original}.upsample.bias", f"{canonical}.deconv.bias", (channels,))
    yield from conv(f"{original}.conv_logits", f"{canonical}.logits", settings.num_classes, channels, 1)


def layouts_of(settings: CascadeSettings) -> dict[str, Layout]:
    """The state dicts of a variant with a Swin; of any other backbone it is nobody's."""
    if settings.network.backbone.kind != "swin":
        return {}
    return {"swin_detection": partial(state_dict, names=swins.ORIGINAL)}


def class_heads(settings: CascadeSettings) -> dict[str, ClassRows]:
    """The heads whose rows belong to classes, by how the names of their arrays begin."""
    heads = {}
    for stage in range(len(settings.stages)):
        heads[f"box_heads.{stage}.classes."] = ClassRows("last")
        if not settings.network.class_agnostic_boxes:
            heads[f"box_heads.{stage}.deltas."] = ClassRows(None, width=4)
        heads[f"mask_heads.{stage}.logits."] = ClassRows(None)
    return heads


_STAGES = 3

WEIGHTS = FamilyWeights(
    layouts=layouts_of,
    heads=tuple(
        f"{head}.{stage}.{layer}."
        for stage in range(_STAGES)
        for head, layer in (("box_heads", "classes"), ("box_heads", "deltas"), ("mask_heads", "logits"))
    ),
    class_heads=class_heads,
    class_bias="box_heads.0.classes.bias",
)
