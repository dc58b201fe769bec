"""Detectron's weights: Caffe2's blobs, whose norms are a scale and a bias alone."""

import re
from collections.abc import Mapping

import numpy as np

from common.errors import UserError
from common.families.mask_rcnn.settings import MaskRcnnSettings
from weights_convert.mask_rcnn import HEADS, canonical_shapes, is_backbone
from weights_convert.state_dicts import Weights, check

_MODULES = {
    "backbone.conv1": "conv1",
    "backbone.bn1": "res_conv1_bn",
    "rpn.conv": "conv_rpn",
    "rpn.objectness": "rpn_cls_logits",
    "rpn.deltas": "rpn_bbox_pred",
    "box_head.fc1": "fc6",
    "box_head.fc2": "fc7",
    "box_head.classes": "cls_score",
    "box_head.deltas": "bbox_pred",
    "mask_head.deconv": "conv5_mask",
    "mask_head.logits": "mask_fcn_logits",
}
_IN_BLOCK = {
    **{f"conv{number}": f"branch2{letter}" for number, letter in enumerate("abc", start=1)},
    **{f"bn{number}": f"branch2{letter}_bn" for number, letter in enumerate("abc", start=1)},
    "downsample.0": "branch1",
    "downsample.1": "branch1_bn",
}
# The optimizer's momentum, ImageNet's classifier, and the bias of a convolution that a norm follows.
_IGNORED = r".*_momentum|(fc1000|pred)_[wb]|conv1_b"


def is_caffe2(names: Mapping[str, np.ndarray]) -> bool:
    return "res2_0_branch2a_w" in names


def from_caffe2(source: Mapping[str, np.ndarray], settings: MaskRcnnSettings, origin: str) -> Weights:
    """A detector's blobs, or the ones of a backbone that was trained on ImageNet, under canonical names.

    What the norms of the canonical form have more is a mean of 0 and a variance of 1.
    """
    source = {name: array for name, array in source.items() if not re.fullmatch(_IGNORED, name)}
    shapes = canonical_shapes(settings)
    blobs = {_blob(name, settings): name for name in shapes if not _is_statistic(name)}
    backbone = {blob for blob, name in blobs.items() if is_backbone(name)}
    optional = set()
    if all(re.match(r"conv1_|res", blob) for blob in source):
        optional = set(blobs) - backbone
    elif settings.convention != "maskrcnn_benchmark":
        raise UserError(f"{origin}: a detector of Caffe2 has the conventions of maskrcnn_benchmark's models")
    heads = {blob for blob, name in blobs.items() if name.startswith(HEADS)}
    wanted = {blob: shapes[name] for blob, name in blobs.items()}
    check(source, wanted, settings.model, origin, any_shape=heads, optional=optional)
    weights = {name: source[blob] for blob, name in blobs.items() if blob in source}
    for name, shape in shapes.items():
        if _is_statistic(name) and name.rpartition(".")[0] + ".weight" in weights:
            weights[name] = np.full(shape, name.endswith("var"), np.float32)
    return {name: weights[name] for name in shapes if name in weights}


def _is_statistic(name: str) -> bool:
    return name.endswith((".running_mean", ".running_var"))


def _blob(name: str, settings: MaskRcnnSettings) -> str:
    """What Caffe2 calls a canonical array."""
    module, _, leaf = name.rpartition(".")
    blob = _module_blob(module, settings)
    if blob.endswith("_bn"):
        return f"{blob}_{'s' if leaf == 'weight' else 'b'}"
    return f"{blob}_{'w' if leaf == 'weight' else 'b'}"


def _module_blob(module: str, settings: MaskRcnnSettings) -> str:
    if block := re.fullmatch(r"(?:backbone|box_head)\.layer(\d)\.(\d+)\.(.*)", module):
        return f"res{int(block[1]) + 1}_{block[2]}_{_IN_BLOCK[block[3]]}"
    if pyramid := re.fullmatch(r"fpn\.(lateral|output)\.(\d)", module):
        level = int(pyramid[2])
        # Named after the sum that ends the stage; the coarsest map has no other to be a lateral of.
        stage = f"res{level + 2}_{settings.network.backbone.depths[level] - 1}_sum"
        if pyramid[1] == "output":
            return f"fpn_{stage}"
        return f"fpn_inner_{stage}" + ("_lateral" if level < 3 else "")
    if mask := re.fullmatch(r"mask_head\.conv(\d)", module):
        return f"_[mask]_fcn{mask[1]}"
    # The levels share the RPN's layers, which have the name of the finest.
    return _MODULES[module] + ("_fpn2" if settings.network.fpn and module.startswith("rpn.") else "")
