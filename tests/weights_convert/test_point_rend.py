"""PointRend's key maps: detectron2's names of both releases, both ways, and heads of other classes."""

import re
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from common.models import load_settings
from common.weights import Card, check_fit, compare_weights, save
from tests.goldens import golden
from tests.weights_convert.originals import canonical_shapes, from_original, layout, to_original
from weights_convert import convert, fit_for_training, open_weights
from weights_convert.families import family_named
from weights_convert.families.point_rend import WEIGHTS, as_mask_rcnn
from weights_convert.finetuning import start_from
from weights_convert.upstreams.detectron2 import UPSTREAM, current_name
from weights_convert.writers import write_pth

CASE = Path(golden.__file__).parent / "point_rend_r50_fpn_d2"
TINY = load_settings("point_rend_tiny")


@pytest.fixture(scope="module")
def tiny():
    """A tiny checkpoint under detectron2's names."""
    return {entry.original: golden.weight(entry.original, entry.shape) for entry in layout(TINY)}


@pytest.mark.slow
def test_round_trip_of_the_golden_checkpoint():
    settings, original = load_settings(golden.manifest(CASE)["model"]), golden.checkpoint(CASE)
    weights = from_original(original, settings, CASE.name)
    back = to_original(weights, settings, CASE.name)
    assert list(back) == list(original)
    assert compare_weights(back, original) == ""


def test_the_names_of_the_golden_checkpoint():
    keys = golden.manifest(CASE)["keys"]
    entries = layout(load_settings(golden.manifest(CASE)["model"]))
    assert {entry.original: list(entry.shape) for entry in entries} == keys
    assert [entry.original for entry in entries] == list(keys)


def test_names_of_the_first_release(tiny):
    old = {
        re.sub(r"coarse_head\.fc", "coarse_head.coarse_mask_fc", name).replace(
            "roi_heads.mask_head.coarse_head", "roi_heads.mask_coarse_head"
        ).replace("roi_heads.mask_head.point_head", "roi_heads.mask_point_head"): array
        for name, array in tiny.items()
    }  # fmt: skip
    assert "roi_heads.mask_coarse_head.coarse_mask_fc1.weight" in old and "roi_heads.mask_point_head.fc1.bias" in old
    assert [current_name(name) for name in old] == list(tiny) == [current_name(name) for name in tiny]
    expected = from_original(tiny, TINY, "new")
    assert compare_weights(UPSTREAM.read(old, TINY, "old.pkl"), expected) == ""
    name = "roi_heads.mask_point_head.fc1.bias"
    with pytest.raises(UserError, match=r"old\.pkl: it holds .*point_head\.fc1\.bias twice"):
        UPSTREAM.read(old | {current_name(name): old[name]}, TINY, "old.pkl")


def test_other_classes_draw_the_point_head_afresh(tiny):
    weights = from_original(tiny, TINY, "tiny")
    seven = load_settings("point_rend_tiny", ["num_classes=7"])
    drawn = {name: np.zeros(shape, np.float32) for name, shape in canonical_shapes(seven).items()}
    kept, skipped = WEIGHTS.fit_for_finetuning(weights, canonical_shapes(seven), "tiny")
    heads = ("box_head.classes.", "box_head.deltas.", "coarse_head.logits.", "point_head.")
    assert set(skipped) <= {name for name in weights if name.startswith(heads)} and len(kept) + len(skipped) == len(
        weights
    )
    known, classes = ["a", "b", "c", "d"], ["a", "x", "c", "y", "z", "b", "d"]
    start = start_from(weights, drawn, WEIGHTS.class_heads(seven), known, classes)
    cells = TINY.network.coarse_size**2
    logits, new = (each["coarse_head.logits.weight"] for each in (weights, start.weights))
    np.testing.assert_array_equal(new[2 * cells : 3 * cells], logits[2 * cells : 3 * cells])
    np.testing.assert_array_equal(new[5 * cells : 6 * cells], logits[cells : 2 * cells])
    assert not new[cells : 2 * cells].any()
    # Its layers read the coarse logits of all classes.
    assert {f"point_head.{layer}.weight" for layer in ("fc1", "fc2", "fc3", "logits")} <= set(start.skipped)


def test_a_variant_without_an_original_has_no_layout():
    assert WEIGHTS.original(load_settings("point_rend_tiny", ["convention=torchvision"])) is None


def mask_rcnn_of(settings):
    """A Mask R-CNN with the same parts, under detectron2's names."""
    own = as_mask_rcnn(settings)
    return own, {
        e.original: golden.weight(e.original, e.shape) for e in family_named("mask_rcnn").layout(own, "detectron2")
    }


def test_training_starts_from_a_mask_rcnn(tmp_path):
    own, arrays = mask_rcnn_of(TINY)
    write_pth(tmp_path / "model_final.pth", arrays)
    weights, card = open_weights(tmp_path / "model_final.pth", TINY)
    shapes = canonical_shapes(TINY)
    expected = from_original(arrays, own, "m")
    shared = {name: array for name, array in expected.items() if not name.startswith("mask_head.")}
    assert compare_weights(weights, shared) == ""
    assert set(shapes) - set(weights) == {name for name in shapes if name.startswith(("coarse_head.", "point_head."))}
    drawn = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    start = fit_for_training(weights, drawn, TINY, card.classes, card.classes, "m")
    assert compare_weights(start.weights, shared) == "" and start.summary() == ""


def test_a_mask_rcnn_lacks_what_a_point_rend_is_evaluated_with(tmp_path):
    write_pth(tmp_path / "model_final.pth", mask_rcnn_of(TINY)[1])
    weights, _ = open_weights(tmp_path / "model_final.pth", TINY)
    with pytest.raises(UserError, match=r"model_final\.pth.*missing: point_head\.fc1\.weight"):
        check_fit(weights, canonical_shapes(TINY), "model_final.pth")


def test_part_of_a_mask_rcnn_is_refused(tmp_path):
    _, arrays = mask_rcnn_of(TINY)
    del arrays["proposal_generator.rpn_head.conv.weight"]
    write_pth(tmp_path / "model_final.pth", arrays)
    with pytest.raises(UserError, match=r"rpn_head\.conv\.weight"):
        open_weights(tmp_path / "model_final.pth", TINY)


def test_a_mask_rcnn_of_other_conventions_is_refused(tmp_path):
    """Its classes stand in another order, which their number does not tell."""
    settings = load_settings("mask_rcnn_tiny")
    weights = {name: golden.weight(name, shape) for name, shape in canonical_shapes(settings).items()}
    card = Card(
        model="mask_rcnn_tiny", source="made up", licence="none", preprocessing=settings.preprocessing,
        classes=("a", "b", "c", "d"), category_ids=(1, 2, 3, 4), numerics=settings.numerics(),
    )  # fmt: skip
    save(tmp_path / "w.safetensors", weights, card)
    with pytest.raises(UserError, match="weights of mask_rcnn_tiny, not of point_rend_tiny"):
        open_weights(tmp_path / "w.safetensors", TINY)


def test_a_mask_rcnn_is_not_converted_to_a_point_rend(tmp_path):
    write_pth(tmp_path / "model_final.pth", mask_rcnn_of(TINY)[1])
    with pytest.raises(UserError, match=r"does not fit point_rend_tiny: missing: .*; left over: .*mask_fcn1"):
        convert(tmp_path / "model_final.pth", "point_rend_tiny")
