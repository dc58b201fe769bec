"""The checkpoints of MindSpore's zoo: its names, both ways, older names, and its variant without a background.

`mindspore_zoo_names.json` holds the names and shapes of the parameters of its own network, in its order.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from common.models import load_settings
from common.weights import compare_weights
from tests.goldens import golden
from tests.weights_convert.originals import canonical_shapes, from_original, layout, to_original
from weights_convert import convert, fit_for_training, open_weights
from weights_convert.families import family_named
from weights_convert.families.point_rend import as_mask_rcnn
from weights_convert.mindspore_files import read_checkpoint, write_checkpoint
from weights_convert.mindspore_names import to_mindspore

MODEL = "point_rend_r50_fpn_mindspore"
NAMES = json.loads(Path(__file__).with_name("mindspore_zoo_names.json").read_text())
HEADS = ["network.coarse_channels=10", "network.point_channels=6", "network.mask_size=4"]
FEW = ["num_classes=3", "network.backbone.width=8", "network.channels=8", "network.box_channels=6"]
SMALL = load_settings(MODEL, FEW + HEADS)


@pytest.fixture
def small():
    """A small checkpoint under the zoo's names."""
    return {entry.original: golden.weight(entry.original, entry.file_shape) for entry in layout(SMALL)}


def test_the_names_are_those_of_the_zoos_network():
    entries = layout(load_settings(MODEL))
    assert {entry.original: list(entry.file_shape) for entry in entries} == NAMES
    assert [entry.original for entry in entries] == list(NAMES)


def test_a_checkpoint_is_read_and_written(small, tmp_path):
    weights = from_original(small, SMALL, "zoo.ckpt")
    np.testing.assert_array_equal(weights["box_head.fc1.weight"], small["rcnn_cls.fpn_cls.shared_fc_0.weight"].T)
    assert weights["point_head.fc1.weight"].shape == (6, 12, 1)
    np.testing.assert_array_equal(weights["backbone.bn1.running_var"], small["backbone.bn1.moving_variance"])
    back = to_original(weights, SMALL, "zoo.ckpt")
    assert list(back) == list(small)
    unused = {name for name in small if name.startswith("rcnn_mask.")}
    computed = {name: array for name, array in small.items() if name not in unused}
    assert compare_weights({name: array for name, array in back.items() if name not in unused}, computed) == ""
    assert not any(back[name].any() for name in unused)
    write_checkpoint(tmp_path / "mask_rcnn-12_7393.ckpt", back)
    assert compare_weights(open_weights(tmp_path / "mask_rcnn-12_7393.ckpt", SMALL)[0], weights) == ""
    assert compare_weights(read_checkpoint(tmp_path / "mask_rcnn-12_7393.ckpt"), back) == ""


def test_older_names_and_what_the_optimizer_kept(small):
    older = {}
    for name, array in small.items():
        name = name.replace("conv_down_sample.", "down_sample_layer.0.").replace(
            "bn_down_sample.", "down_sample_layer.1."
        )
        older[name.replace("mask_coarse_head.reduce_spatial_dim_conv.", "mask_coarse_head.conv_seq.0.")] = array
    assert len(set(older) - set(small)) > 10
    older |= {f"moments.{name}": array for name, array in small.items()} | {"learning_rate": np.float32([0.1])}
    older |= {"rpn_with_loss.rpn_convs_list.3.rpn_cls.bias": small["rpn_with_loss.rpn_convs_list.0.rpn_cls.bias"]}
    assert compare_weights(from_original(older, SMALL, "old"), from_original(small, SMALL, "new")) == ""


def point_head(weights, fine, coarse):
    """PointRend's point head on (C, P) and (outputs, P), in plain NumPy."""
    x = fine
    for layer in ("fc1", "fc2", "fc3", "logits"):
        weight, bias = weights[f"point_head.{layer}.weight"][..., 0], weights[f"point_head.{layer}.bias"]
        x = weight @ np.concatenate([x, coarse]) + bias[:, None]
        x = np.maximum(x, 0) if layer != "logits" else x
    return x


def test_the_variant_without_a_background_computes_the_same(small):
    """NOT_MASK has 80 outputs, which are the last 80 here."""
    shapes = {"prediction": 49, "predictor": 1}
    fewer = {}
    for name, array in small.items():
        layer = name.split(".")[-2]
        if name.startswith("mask_point_head.") and array.ndim == 4:
            array = np.delete(array, array.shape[1] - 4, axis=1)
        fewer[name] = array[shapes[layer] :] if name.startswith("mask_") and layer in shapes else array
    weights = from_original(fewer, SMALL, "v2.ckpt")
    assert {name: array.shape for name, array in weights.items()} == canonical_shapes(SMALL)
    rng = np.random.default_rng(0)
    fine, coarse = rng.standard_normal((8, 5)), rng.standard_normal((4, 5))
    plain = {}
    for layer, name in {"fc1": "seq.0", "fc2": "seq.1", "fc3": "seq.2", "logits": "predictor"}.items():
        for leaf in ("weight", "bias"):
            array = fewer[f"mask_point_head.{name}.{leaf}"]
            plain[f"point_head.{layer}.{leaf}"] = array[..., 0] if leaf == "weight" else array
    found = point_head(weights, fine, coarse)
    np.testing.assert_allclose(found[1:], point_head(plain, fine, coarse[1:]), rtol=1e-6)
    assert not weights["coarse_head.logits.weight"][:49].any() and not found[0].any()


@pytest.mark.slow
def test_training_starts_from_the_zoos_mask_rcnn(tmp_path):
    settings, path = load_settings(MODEL), tmp_path / "maskrcnn_coco_bboxacc37_segmacc32.ckpt"
    entries = family_named("mask_rcnn").layout(as_mask_rcnn(settings), "mindspore_zoo")
    write_checkpoint(path, {entry.original: np.full(entry.file_shape, 0.5, np.float32) for entry in entries})
    weights, card = open_weights(path, settings)
    shapes = canonical_shapes(settings)
    assert set(shapes) - set(weights) == {name for name in shapes if name.startswith(("coarse_head.", "point_head."))}
    drawn = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    start = fit_for_training(weights, drawn, settings, card.classes, card.classes, "m")
    assert compare_weights(start.weights, weights) == ""


def test_our_own_checkpoints_of_mindspore_stay_ours(small, tmp_path):
    weights = from_original(small, SMALL, "zoo.ckpt")
    write_checkpoint(tmp_path / "own.ckpt", to_mindspore(weights))
    assert compare_weights(open_weights(tmp_path / "own.ckpt", SMALL)[0], weights) == ""


@pytest.mark.slow
def test_a_whole_checkpoint_tells_its_model(tmp_path):
    arrays = {name: np.full(shape, 0.5, np.float32) for name, shape in NAMES.items()}
    write_checkpoint(tmp_path / "mask_rcnn-12_29316.ckpt", arrays)
    weights, card = convert(tmp_path / "mask_rcnn-12_29316.ckpt")
    assert card.model == MODEL and len(card.classes) == 80
    assert {name: array.shape for name, array in weights.items()} == canonical_shapes(load_settings(MODEL))
