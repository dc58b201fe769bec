"""The weights of Mask R-CNN of maskrcnn-benchmark, torchvision, detectron2, MindSpore's zoo and mmdetection.

The classes keep the order of the original: what a file's rows mean is the variant's convention, not the converter's.
"""

from collections.abc import Mapping

import numpy as np

from common.families.mask_rcnn.settings import MaskRcnnSettings
from weights_convert import resnets, swins
from weights_convert.families import FamilyWeights, Layout
from weights_convert.families.mask_rcnn import layouts, mmdetection
from weights_convert.finetuning import ClassRows
from weights_convert.state_dicts import Weights

_ORIGINALS = {
    "maskrcnn_benchmark": layouts.maskrcnn_benchmark,
    "torchvision": layouts.torchvision,
    "detectron2": layouts.detectron2,
    "mindspore_zoo": layouts.mindspore_zoo,
}
_TORCHVISION_EPS = np.float32(1e-5)


def layouts_of(settings: MaskRcnnSettings) -> dict[str, Layout]:
    """The state dicts of a variant: of the implementation whose conventions it follows, and Detectron's blobs.

    With another backbone than a ResNet a variant is nobody's; with mmdetection's conventions it may be a Swin.
    """
    network = settings.network
    if settings.convention == "mmdetection":
        has_their_parts = network.fpn and network.background == "last"
        return mmdetection.layouts_of(settings, mmdetection.mask_rcnn) if has_their_parts else {}
    if network.backbone.kind != "resnet":
        return {}
    return {settings.convention: _ORIGINALS[settings.convention], "caffe2": layouts.caffe2}


def class_heads(settings: MaskRcnnSettings) -> dict[str, ClassRows]:
    """The heads whose rows belong to classes, by how the names of their arrays begin."""
    background = settings.network.background
    boxed = "first" if background == "first" else None  # one that stands last has no box offsets and no mask
    return {
        "box_head.classes.": ClassRows(background),
        "box_head.deltas.": ClassRows(boxed, width=4),
        "mask_head.logits.": ClassRows(boxed),
    }


def read_backbone(source: Mapping[str, np.ndarray], settings: MaskRcnnSettings, origin: str) -> Weights:
    """A ResNet's canonical arrays of ImageNet weights under torchvision's names.

    torchvision's fixed norms have an epsilon of 1e-5 when it trains from ImageNet, and of 0 with its published weights,
    as its variant here does: the result's running variances contain that epsilon.
    """
    weights = resnets.read_imagenet(source, settings, origin)
    if settings.convention == "torchvision" and settings.network.backbone.norm_eps == 0:
        weights |= {name: x + _TORCHVISION_EPS for name, x in weights.items() if name.endswith(".running_var")}
    return weights


WEIGHTS = FamilyWeights(
    layouts=layouts_of,
    heads=("box_head.classes.", "box_head.deltas.", "mask_head.logits."),
    class_heads=class_heads,
    class_bias="box_head.classes.bias",
    read_backbone=read_backbone,
    # Without a pyramid the residual network's last stage is the box head.
    backbone=("backbone.", "box_head.layer4."),
    added_to_backbone=swins.ADDED_TO_BACKBONE,
)
