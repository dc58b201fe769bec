"""The state dicts of Mask R-CNN in its originals' files, each in the original's own order."""

from collections.abc import Iterator

from common.families.mask_rcnn.anchors import cell_anchors
from common.families.mask_rcnn.settings import MaskRcnnSettings
from weights_convert.caffe2_names import to_blobs
from weights_convert.families.mask_rcnn import parts
from weights_convert.mindspore_names import entries_to_mindspore
from weights_convert.resnets import DETECTRON2, ResNetNames, stage, stem
from weights_convert.state_dicts import Entry

_BENCHMARK = ResNetNames(shortcut_first=True)
_TORCHVISION = ResNetNames()
_MINDSPORE = ResNetNames(shortcut="conv_down_sample", shortcut_norm="bn_down_sample")
_CAFFE2 = ResNetNames(
    convolutions=("branch2a", "branch2b", "branch2c"),
    norms=("branch2a_bn", "branch2b_bn", "branch2c_bn"),
    shortcut="branch1",
    shortcut_norm="branch1_bn",
)


def maskrcnn_benchmark(settings: MaskRcnnSettings) -> Iterator[Entry]:
    """The state dict of maskrcnn-benchmark, with a feature pyramid or without (C4)."""
    body, box, mask = "backbone.body", "roi_heads.box.feature_extractor", "roi_heads.mask.feature_extractor"
    has_pyramid = settings.network.fpn
    yield from stem(f"{body}.stem.conv1", f"{body}.stem.bn1", settings.network.backbone, _BENCHMARK)
    for number in range(1, 5 if has_pyramid else 4):
        yield from _benchmark_stage(f"{body}.layer{number}", f"backbone.layer{number}", number, settings)
    if has_pyramid:
        for level in range(4):
            yield from parts.lateral(f"backbone.fpn.fpn_inner{level + 1}", level, settings)
            yield from parts.output(f"backbone.fpn.fpn_layer{level + 1}", level, settings)
    yield from _cell_anchors(settings)
    yield from parts.rpn("rpn.head.conv", "rpn.head.cls_logits", "rpn.head.bbox_pred", settings)
    if has_pyramid:
        yield from parts.fully_connected(f"{box}.fc6", f"{box}.fc7", settings)
    else:
        yield from _benchmark_stage(f"{box}.head.layer4", "box_head.layer4", 4, settings)
    predictor = "roi_heads.box.predictor"
    yield from parts.box_predictor(f"{predictor}.cls_score", f"{predictor}.bbox_pred", settings)
    if has_pyramid:
        yield from parts.mask_convolutions([f"{mask}.mask_fcn{number}" for number in range(1, 5)], settings)
    else:
        # The box and the mask head share the fifth stage, which is written for each of them.
        for entry in _benchmark_stage(f"{mask}.head.layer4", "box_head.layer4", 4, settings):
            yield entry._replace(canonical=None, written=entry.canonical)
    predictor = "roi_heads.mask.predictor"
    yield from parts.mask_predictor(f"{predictor}.conv5_mask", f"{predictor}.mask_fcn_logits", settings)


def torchvision(settings: MaskRcnnSettings) -> Iterator[Entry]:
    """The state dict of torchvision's maskrcnn_resnet50_fpn."""
    body, pyramid = "backbone.body", "backbone.fpn"
    backbone = settings.network.backbone
    yield from stem(f"{body}.conv1", f"{body}.bn1", backbone, _TORCHVISION)
    for number in range(1, 5):
        yield from stage(f"{body}.layer{number}", f"backbone.layer{number}", number, backbone, _TORCHVISION)
    for level in range(4):
        yield from parts.lateral(f"{pyramid}.inner_blocks.{level}.0", level, settings)
    for level in range(4):
        yield from parts.output(f"{pyramid}.layer_blocks.{level}.0", level, settings)
    yield from parts.rpn("rpn.head.conv.0.0", "rpn.head.cls_logits", "rpn.head.bbox_pred", settings)
    yield from parts.fully_connected("roi_heads.box_head.fc6", "roi_heads.box_head.fc7", settings)
    predictor = "roi_heads.box_predictor"
    yield from parts.box_predictor(f"{predictor}.cls_score", f"{predictor}.bbox_pred", settings)
    yield from parts.mask_convolutions([f"roi_heads.mask_head.{number}.0" for number in range(4)], settings)
    predictor = "roi_heads.mask_predictor"
    yield from parts.mask_predictor(f"{predictor}.conv5_mask", f"{predictor}.mask_fcn_logits", settings)


def detectron2(settings: MaskRcnnSettings) -> Iterator[Entry]:
    """The state dict of detectron2's Mask R-CNN with a feature pyramid."""
    yield from detectron2_boxes(settings)
    mask = "roi_heads.mask_head"
    yield from parts.mask_convolutions([f"{mask}.mask_fcn{number}" for number in range(1, 5)], settings)
    yield from parts.mask_predictor(f"{mask}.deconv", f"{mask}.predictor", settings)


def detectron2_boxes(settings: MaskRcnnSettings) -> Iterator[Entry]:
    """What detectron2's two-stage models have beside their mask heads."""
    for level in range(4):
        yield from parts.lateral(f"backbone.fpn_lateral{level + 2}", level, settings)
        yield from parts.output(f"backbone.fpn_output{level + 2}", level, settings)
    body, rpn = "backbone.bottom_up", "proposal_generator.rpn_head"
    backbone = settings.network.backbone
    yield from stem(f"{body}.stem.conv1", f"{body}.stem.conv1.norm", backbone, DETECTRON2)
    for number in range(1, 5):
        yield from stage(f"{body}.res{number + 1}", f"backbone.layer{number}", number, backbone, DETECTRON2)
    yield from parts.rpn(f"{rpn}.conv", f"{rpn}.objectness_logits", f"{rpn}.anchor_deltas", settings)
    yield from parts.fully_connected("roi_heads.box_head.fc1", "roi_heads.box_head.fc2", settings)
    predictor = "roi_heads.box_predictor"
    yield from parts.box_predictor(f"{predictor}.cls_score", f"{predictor}.bbox_pred", settings)


def mindspore_zoo(settings: MaskRcnnSettings) -> Iterator[Entry]:
    """The parameters of Mask R-CNN in MindSpore's zoo."""
    yield from mindspore_zoo_boxes(settings)
    yield from mindspore_zoo_masks(settings)


def mindspore_zoo_boxes(settings: MaskRcnnSettings) -> Iterator[Entry]:
    """What the two-stage models of MindSpore's zoo have beside their mask heads."""
    return iter(entries_to_mindspore(_mindspore_zoo_boxes(settings)))


def mindspore_zoo_masks(settings: MaskRcnnSettings) -> Iterator[Entry]:
    """The mask head of Mask R-CNN in MindSpore's zoo."""
    mask = "rcnn_mask.fpn_mask"
    yield from parts.mask_convolutions([f"{mask}.mask_conv{number}" for number in range(1, 5)], settings)
    yield from parts.mask_predictor(f"{mask}.mask_deconv5", f"{mask}.mask_conv6", settings)


def _mindspore_zoo_boxes(settings: MaskRcnnSettings) -> Iterator[Entry]:
    """The arrays of `mindspore_zoo_boxes`, norms under PyTorch's names."""
    backbone = settings.network.backbone
    yield from stem("backbone.conv1", "backbone.bn1", backbone, _MINDSPORE)
    for number in range(1, 5):
        yield from stage(f"backbone.layer{number}", f"backbone.layer{number}", number, backbone, _MINDSPORE)
    for level in range(4):
        yield from parts.lateral(f"fpn_ncek.lateral_convs_list.{level}", level, settings)
    for level in range(4):
        yield from parts.output(f"fpn_ncek.fpn_convs_list.{level}", level, settings)
    rpn = "rpn_with_loss.rpn_convs_list.0"
    yield from parts.rpn(f"{rpn}.rpn_conv", f"{rpn}.rpn_cls", f"{rpn}.rpn_reg", settings)
    box = "rcnn_cls.fpn_cls"
    linear = [
        *parts.fully_connected(f"{box}.shared_fc_0", f"{box}.shared_fc_1", settings),
        *parts.box_predictor(f"{box}.cls_scores", f"{box}.reg_scores", settings),
    ]
    for entry in linear:
        yield entry._replace(stored="transposed" if len(entry.shape) == 2 else "alike")


def caffe2(settings: MaskRcnnSettings) -> Iterator[Entry]:
    """The blobs of Detectron's Mask R-CNN, with a feature pyramid or without (C4)."""
    return to_blobs(_caffe2(settings))


def _caffe2(settings: MaskRcnnSettings) -> Iterator[Entry]:
    """The arrays of Detectron's Mask R-CNN under its names for the layers."""
    backbone, has_pyramid = settings.network.backbone, settings.network.fpn
    yield from stem("conv1", "res_conv1_bn", backbone, _CAFFE2)
    for number in range(1, 5):
        canonical = f"backbone.layer{number}" if has_pyramid or number < 4 else "box_head.layer4"
        yield from stage(f"res{number + 1}", canonical, number, backbone, _CAFFE2)
    if has_pyramid:
        for level, depth in enumerate(backbone.depths):
            # Named after the sum that ends the stage; the coarsest map has no other to be a lateral of.
            sum_name = f"res{level + 2}_{depth - 1}_sum"
            yield from parts.lateral(f"fpn_inner_{sum_name}" + ("_lateral" if level < 3 else ""), level, settings)
            yield from parts.output(f"fpn_{sum_name}", level, settings)
    # The levels share the RPN's layers, which have the name of the finest.
    level = "_fpn2" if has_pyramid else ""
    yield from parts.rpn(f"conv_rpn{level}", f"rpn_cls_logits{level}", f"rpn_bbox_pred{level}", settings)
    if has_pyramid:
        yield from parts.fully_connected("fc6", "fc7", settings)
    yield from parts.box_predictor("cls_score", "bbox_pred", settings)
    if has_pyramid:
        yield from parts.mask_convolutions([f"_[mask]_fcn{number}" for number in range(1, 5)], settings)
    yield from parts.mask_predictor("conv5_mask", "mask_fcn_logits", settings)


def _benchmark_stage(original: str, canonical: str, number: int, settings: MaskRcnnSettings) -> Iterator[Entry]:
    return stage(original, canonical, number, settings.network.backbone, _BENCHMARK)


def _cell_anchors(settings: MaskRcnnSettings) -> Iterator[Entry]:
    """The anchors of a cell of each level, (A, 4) xyxy, which maskrcnn-benchmark saves along with the weights."""
    for level, sizes in enumerate(settings.rpn.anchor_sizes):
        stride = 4 * 2**level if settings.network.fpn else 16
        anchors = cell_anchors(settings.rules, stride, sizes, settings.rpn.anchor_ratios)
        shape = (parts.anchors_per_cell(settings), 4)
        yield Entry(f"rpn.anchor_generator.cell_anchors.{level}", None, shape, anchors)
