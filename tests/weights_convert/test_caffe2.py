"""Detectron's Caffe2 blobs: detectors, and ImageNet weights to start from."""

import pickle
import re
import struct
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from common.weights import check_fit
from tests.weights_convert.originals import canonical_shapes
from tests.weights_convert.small_models import Weights, small
from weights_convert import convert, open_weights
from weights_convert.families.mask_rcnn import WEIGHTS
from weights_convert.upstreams.caffe2 import read


class Python2Pickler(pickle._Pickler):
    """Writes text and bytes alike as Python 2 wrote its strings."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_string(self, value):
        data = value if isinstance(value, bytes) else value.encode("latin1")
        self.write(b"T" + struct.pack("<i", len(data)) + data)

    dispatch[bytes] = dispatch[str] = save_string


def write_caffe2(path: Path, tree: dict) -> None:
    with path.open("wb") as file:
        Python2Pickler(file, 2).dump(tree)


def caffe2_backbone(*depths: int, width: int = 8) -> Weights:
    """The blobs of a residual network by their names in Detectron, every number another."""
    shapes = {"conv1_w": (width, 3, 7, 7), "res_conv1_bn_s": (width,), "res_conv1_bn_b": (width,)}
    into = width
    for stage, depth in enumerate(depths):
        inner, out = width * 2**stage, width * 4 * 2**stage
        for block in range(depth):
            branches = {"2a": (inner, into, 1, 1), "2b": (inner, inner, 3, 3), "2c": (out, inner, 1, 1)}
            if block == 0:
                branches["1"] = (out, into, 1, 1)
            for branch, shape in branches.items():
                name = f"res{stage + 2}_{block}_branch{branch}"
                shapes |= {f"{name}_w": shape, f"{name}_bn_s": shape[:1], f"{name}_bn_b": shape[:1]}
            into = out
    rng = np.random.default_rng(9)
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def caffe2_heads() -> Weights:
    """The rest of a detector of 3 classes with a pyramid on 3, 4, 6 and 3 blocks."""
    shapes = {
        **{
            f"fpn_inner_{name}": (8, 32 * 2**k, 1, 1)
            for k, name in enumerate(("res2_2_sum_lateral", "res3_3_sum_lateral"))
        },
        "fpn_inner_res4_5_sum_lateral": (8, 128, 1, 1),
        "fpn_inner_res5_2_sum": (8, 256, 1, 1),
        **{f"fpn_{name}_sum": (8, 8, 3, 3) for name in ("res2_2", "res3_3", "res4_5", "res5_2")},
        **{"conv_rpn_fpn2": (8, 8, 3, 3), "rpn_cls_logits_fpn2": (3, 8, 1, 1), "rpn_bbox_pred_fpn2": (12, 8, 1, 1)},
        **{"fc6": (6, 8 * 49), "fc7": (6, 6), "cls_score": (4, 6), "bbox_pred": (16, 6)},
        **{f"_[mask]_fcn{number}": (8, 8, 3, 3) for number in range(1, 5)},
        **{"conv5_mask": (8, 8, 2, 2), "mask_fcn_logits": (4, 8, 1, 1)},
    }
    rng = np.random.default_rng(10)
    weights = {}
    for name, shape in shapes.items():
        weights[f"{name}_w"] = rng.standard_normal(shape, np.float32)
        weights[f"{name}_b"] = rng.standard_normal(shape[:1], np.float32)
    return weights


PRESERVED = {"fc1000_w": np.zeros((1000, 256), np.float32), "fc1000_b": np.zeros(1000), "conv1_b": np.zeros(8)}


def test_caffe2s_detector(tmp_path, small_models):
    settings = small("mask_rcnn_r50_fpn")
    blobs = caffe2_backbone(3, 4, 6, 3) | caffe2_heads()
    momentum = {f"{name}_momentum": np.zeros_like(array) for name, array in blobs.items()}
    for tree in ({"blobs": blobs | momentum | PRESERVED, "cfg": "MODEL: {}\n"}, blobs):
        write_caffe2(tmp_path / "model_final.pkl", tree)
        weights, card = convert(tmp_path / "model_final.pkl")
        assert card.model == "mask_rcnn_r50_fpn"
        check_fit(weights, canonical_shapes(settings), "m")
        pairs = {
            "res_conv1_bn_s": "backbone.bn1.weight",
            "res2_0_branch1_w": "backbone.layer1.0.downsample.0.weight",
            "res4_5_branch2c_bn_b": "backbone.layer3.5.bn3.bias",
            "fpn_inner_res4_5_sum_lateral_w": "fpn.lateral.2.weight",
            "fpn_inner_res5_2_sum_w": "fpn.lateral.3.weight",
            "fpn_res2_2_sum_b": "fpn.output.0.bias",
            "conv_rpn_fpn2_w": "rpn.conv.weight",
            "rpn_bbox_pred_fpn2_b": "rpn.deltas.bias",
            "fc7_w": "box_head.fc2.weight",
            "bbox_pred_w": "box_head.deltas.weight",
            "_[mask]_fcn2_w": "mask_head.conv2.weight",
            "conv5_mask_w": "mask_head.deconv.weight",
            "mask_fcn_logits_b": "mask_head.logits.bias",
        }
        for blob, name in pairs.items():
            np.testing.assert_array_equal(weights[name], blobs[blob], err_msg=name)
        statistics = {name: array for name, array in weights.items() if "running" in name}
        assert len(weights) == len(blobs) + len(statistics) and len(statistics) == 2 * 53
        for name, array in statistics.items():
            np.testing.assert_array_equal(array, float(name.endswith("var")))
            assert array.dtype == np.float32


def test_a_caffe2_file_that_does_not_fit_is_named(tmp_path):
    settings = small("mask_rcnn_r50_fpn")
    blobs = caffe2_backbone(3, 4, 6, 3) | caffe2_heads()
    for name in ("res3_1_branch2b_bn_s", "fc6_b", "_[mask]_fcn4_w"):
        fewer = {key: array for key, array in blobs.items() if key != name}
        with pytest.raises(UserError, match=f"missing: {re.escape(name)}$"):
            read(fewer, settings, "m.pkl")
    for name in ("kps_score_w", "res2_0_branch2a_bn_rm", "fc1000_extra", "_momentum_w"):
        with pytest.raises(UserError, match=f"left over: {name}"):
            read(blobs | {name: np.zeros(1, np.float32)}, settings, "m.pkl")
    with pytest.raises(UserError, match=r"another shape: fc7_w \(6,\)"):
        read(blobs | {"fc7_w": np.zeros(6, np.float32)}, settings, "m.pkl")
    for model in ("mask_rcnn_r50_fpn_torchvision", "mask_rcnn_r50_fpn_detectron2"):
        with pytest.raises(UserError, match="has the conventions of maskrcnn_benchmark"):
            read(blobs, small(model), "m.pkl")


@pytest.mark.parametrize("model", ["mask_rcnn_r50_c4", "mask_rcnn_r50_fpn", "mask_rcnn_r50_fpn_detectron2"])
def test_training_starts_from_an_imagenet_pickle(tmp_path, small_models, model):
    """MSRA's R-50 and the like: C4 finds the last stage's weights in its box head."""
    settings = small(model)
    blobs = caffe2_backbone(*settings.network.backbone.depths)
    write_caffe2(tmp_path / "R-50.pkl", blobs | PRESERVED)
    weights, card = open_weights(tmp_path / "R-50.pkl", settings)
    kept, skipped = WEIGHTS.fit_for_finetuning(weights, canonical_shapes(settings), "R-50.pkl")
    assert skipped == [] and card.model == model and len(kept) == len(blobs) + 2 * 53
    last = "backbone.layer4" if settings.network.fpn else "box_head.layer4"
    np.testing.assert_array_equal(kept[f"{last}.0.downsample.1.weight"], blobs["res5_0_branch1_bn_s"])
    del blobs["res5_2_branch2a_w"]
    with pytest.raises(UserError, match="missing: res5_2_branch2a_w"):
        read(blobs, settings, "R-50.pkl")
    with pytest.raises(UserError, match=r"missing: .*(rpn|fpn)"):
        WEIGHTS.fit_for_finetuning(weights | {"rpn.conv.bias": np.zeros(8)}, canonical_shapes(settings), "m")


def test_another_familys_model_is_refused(tmp_path, small_models):
    write_caffe2(tmp_path / "c.pkl", caffe2_backbone(3, 4, 6, 3) | caffe2_heads())
    with pytest.raises(UserError, match=r"c\.pkl: these are weights of mask_rcnn_r50_fpn, not of yolact_tiny"):
        convert(tmp_path / "c.pkl", "yolact_tiny")
