"""The state dicts of Mask R-CNN in maskrcnn-benchmark, torchvision, detectron2 and Caffe2, each in its own order."""

from collections.abc import Iterator
from typing import NamedTuple

from common.families.mask_rcnn.settings import MaskRcnnSettings
from weights_convert.state_dicts import Entry, conv, linear, norm

# maskrcnn-benchmark's C4 writes its fifth stage twice, for the box and for the mask head: the same arrays.
SHARED_STAGE = "roi_heads.box.feature_extractor.head.layer4"
SHARED_STAGE_AGAIN = "roi_heads.mask.feature_extractor.head.layer4"
CELL_ANCHORS = "rpn.anchor_generator.cell_anchors"


class _Blocks(NamedTuple):
    """What an original calls the parts of a bottleneck block."""

    convolution: str
    norm: str
    shortcut: str
    shortcut_norm: str
    shortcut_first: bool


_TORCHVISION_BLOCKS = _Blocks("conv{}", "bn{}", "downsample.0", "downsample.1", shortcut_first=False)
_BENCHMARK_BLOCKS = _TORCHVISION_BLOCKS._replace(shortcut_first=True)
_DETECTRON2_BLOCKS = _Blocks("conv{}", "conv{}.norm", "shortcut", "shortcut.norm", shortcut_first=True)


def layout(settings: MaskRcnnSettings) -> list[Entry]:
    """The state dict of the implementation whose conventions the settings follow."""
    layouts = {
        "maskrcnn_benchmark": _maskrcnn_benchmark,
        "torchvision": _torchvision,
        "detectron2": _detectron2,
    }
    return list(layouts[settings.convention](settings))


def _maskrcnn_benchmark(settings: MaskRcnnSettings) -> Iterator[Entry]:
    body, head = "backbone.body", "roi_heads.box.feature_extractor"
    yield from _stem(f"{body}.stem.conv1", f"{body}.stem.bn1", settings)
    for stage in range(1, 5 if settings.network.fpn else 4):
        yield from _stage(f"{body}.layer{stage}", f"backbone.layer{stage}", stage, settings, _BENCHMARK_BLOCKS)
    if settings.network.fpn:
        for level, into in enumerate(_stage_channels(settings)):
            yield from _lateral(f"backbone.fpn.fpn_inner{level + 1}", level, into, settings)
            yield from _output(f"backbone.fpn.fpn_layer{level + 1}", level, settings)
    for level in range(len(settings.rpn.anchor_sizes)):
        yield Entry(f"{CELL_ANCHORS}.{level}", None, (_anchors(settings), 4))
    yield from _rpn("rpn.head.conv", "rpn.head.cls_logits", "rpn.head.bbox_pred", settings)
    if settings.network.fpn:
        yield from _fully_connected(f"{head}.fc6", f"{head}.fc7", settings)
    else:
        yield from _stage(SHARED_STAGE, "box_head.layer4", 4, settings, _BENCHMARK_BLOCKS)
    yield from _box_predictor("roi_heads.box.predictor", settings)
    mask = "roi_heads.mask.feature_extractor"
    if settings.network.fpn:
        yield from _mask_convolutions([f"{mask}.mask_fcn{number}" for number in range(1, 5)], settings)
    else:
        for entry in _stage(SHARED_STAGE_AGAIN, "box_head.layer4", 4, settings, _BENCHMARK_BLOCKS):
            yield entry._replace(canonical=None)
    mask = "roi_heads.mask.predictor"
    yield from _mask_predictor(f"{mask}.conv5_mask", f"{mask}.mask_fcn_logits", settings)


def _torchvision(settings: MaskRcnnSettings) -> Iterator[Entry]:
    body, pyramid = "backbone.body", "backbone.fpn"
    yield from _stem(f"{body}.conv1", f"{body}.bn1", settings)
    for stage in range(1, 5):
        yield from _stage(f"{body}.layer{stage}", f"backbone.layer{stage}", stage, settings, _TORCHVISION_BLOCKS)
    for level, into in enumerate(_stage_channels(settings)):
        yield from _lateral(f"{pyramid}.inner_blocks.{level}.0", level, into, settings)
    for level in range(4):
        yield from _output(f"{pyramid}.layer_blocks.{level}.0", level, settings)
    yield from _rpn("rpn.head.conv.0.0", "rpn.head.cls_logits", "rpn.head.bbox_pred", settings)
    yield from _fully_connected("roi_heads.box_head.fc6", "roi_heads.box_head.fc7", settings)
    yield from _box_predictor("roi_heads.box_predictor", settings)
    yield from _mask_convolutions([f"roi_heads.mask_head.{number}.0" for number in range(4)], settings)
    mask = "roi_heads.mask_predictor"
    yield from _mask_predictor(f"{mask}.conv5_mask", f"{mask}.mask_fcn_logits", settings)


def _detectron2(settings: MaskRcnnSettings) -> Iterator[Entry]:
    for level, into in enumerate(_stage_channels(settings)):
        yield from _lateral(f"backbone.fpn_lateral{level + 2}", level, into, settings)
        yield from _output(f"backbone.fpn_output{level + 2}", level, settings)
    body, rpn, mask = "backbone.bottom_up", "proposal_generator.rpn_head", "roi_heads.mask_head"
    yield from _stem(f"{body}.stem.conv1", f"{body}.stem.conv1.norm", settings)
    for stage in range(1, 5):
        yield from _stage(f"{body}.res{stage + 1}", f"backbone.layer{stage}", stage, settings, _DETECTRON2_BLOCKS)
    yield from _rpn(f"{rpn}.conv", f"{rpn}.objectness_logits", f"{rpn}.anchor_deltas", settings)
    yield from _fully_connected("roi_heads.box_head.fc1", "roi_heads.box_head.fc2", settings)
    yield from _box_predictor("roi_heads.box_predictor", settings)
    yield from _mask_convolutions([f"{mask}.mask_fcn{number}" for number in range(1, 5)], settings)
    yield from _mask_predictor(f"{mask}.deconv", f"{mask}.predictor", settings)


def _stage_channels(settings: MaskRcnnSettings) -> list[int]:
    """Of C2..C5."""
    return [settings.network.backbone.width * 4 * 2**stage for stage in range(4)]


def _anchors(settings: MaskRcnnSettings) -> int:
    return len(settings.rpn.anchor_sizes[0]) * len(settings.rpn.anchor_ratios)


def _stem(convolution: str, norm_name: str, settings: MaskRcnnSettings) -> Iterator[Entry]:
    yield from conv(convolution, "backbone.conv1", settings.network.backbone.width, 3, 7, bias=False)
    yield from norm(norm_name, "backbone.bn1", settings.network.backbone.width)


def _stage(original: str, canonical: str, stage: int, settings: MaskRcnnSettings, names: _Blocks) -> Iterator[Entry]:
    """One of the backbone's stages 1..4."""
    backbone = settings.network.backbone
    out = _stage_channels(settings)[stage - 1]
    width = out // 4 * backbone.groups * backbone.width_per_group // 64
    for block in range(backbone.depths[stage - 1]):
        into = out if block else backbone.width if stage == 1 else out // 2
        yield from _bottleneck(f"{original}.{block}", f"{canonical}.{block}", into, width, out, backbone.groups, names)


def _bottleneck(
    original: str, canonical: str, into: int, width: int, out: int, groups: int, names: _Blocks
) -> Iterator[Entry]:
    shortcut = []
    if canonical.endswith(".0"):
        shortcut += conv(f"{original}.{names.shortcut}", f"{canonical}.downsample.0", out, into, 1, bias=False)
        shortcut += norm(f"{original}.{names.shortcut_norm}", f"{canonical}.downsample.1", out)
    if names.shortcut_first:
        yield from shortcut
    sizes = ((width, into, 1), (width, width // groups, 3), (out, width, 1))
    for number, size in enumerate(sizes, start=1):
        yield from conv(
            f"{original}.{names.convolution.format(number)}", f"{canonical}.conv{number}", *size, bias=False
        )
        yield from norm(f"{original}.{names.norm.format(number)}", f"{canonical}.bn{number}", size[0])
    if not names.shortcut_first:
        yield from shortcut


def _lateral(original: str, level: int, into: int, settings: MaskRcnnSettings) -> list[Entry]:
    return conv(original, f"fpn.lateral.{level}", settings.network.channels, into, 1)


def _output(original: str, level: int, settings: MaskRcnnSettings) -> list[Entry]:
    return conv(original, f"fpn.output.{level}", settings.network.channels, settings.network.channels, 3)


def _rpn(convolution: str, logits: str, deltas: str, settings: MaskRcnnSettings) -> Iterator[Entry]:
    channels = settings.network.channels if settings.network.fpn else _stage_channels(settings)[2]
    yield from conv(convolution, "rpn.conv", channels, channels, 3)
    yield from conv(logits, "rpn.objectness", _anchors(settings), channels, 1)
    yield from conv(deltas, "rpn.deltas", _anchors(settings) * 4, channels, 1)


def _fully_connected(first: str, second: str, settings: MaskRcnnSettings) -> Iterator[Entry]:
    hidden = settings.network.box_channels
    yield from linear(first, "box_head.fc1", hidden, settings.network.channels * settings.network.box_size**2)
    yield from linear(second, "box_head.fc2", hidden, hidden)


def _boxed_classes(settings: MaskRcnnSettings) -> int:
    """Of how many classes there are boxes and masks: a background that stands last has none."""
    return settings.num_classes + (settings.network.background == "first")


def _box_predictor(original: str, settings: MaskRcnnSettings) -> Iterator[Entry]:
    into = settings.network.box_channels if settings.network.fpn else _stage_channels(settings)[3]
    yield from linear(f"{original}.cls_score", "box_head.classes", settings.num_classes + 1, into)
    yield from linear(f"{original}.bbox_pred", "box_head.deltas", _boxed_classes(settings) * 4, into)


def _mask_convolutions(originals: list[str], settings: MaskRcnnSettings) -> Iterator[Entry]:
    channels = settings.network.channels
    for number, original in enumerate(originals, start=1):
        yield from conv(original, f"mask_head.conv{number}", channels, channels, 3)


def _mask_predictor(deconvolution: str, logits: str, settings: MaskRcnnSettings) -> Iterator[Entry]:
    channels = settings.network.channels
    into = channels if settings.network.fpn else _stage_channels(settings)[3]
    # A transposed convolution has its inputs first.
    yield Entry(f"{deconvolution}.weight", "mask_head.deconv.weight", (into, channels, 2, 2))
    yield Entry(f"{deconvolution}.bias", "mask_head.deconv.bias", (channels,))
    yield from conv(logits, "mask_head.logits", _boxed_classes(settings), channels, 1)
