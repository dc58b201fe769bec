"""PointRend's key maps: detectron2's names of both releases, both ways, and heads of other classes."""

import re
from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from common.models import load_settings
from common.weights import compare_weights
from tests.goldens import golden
from tests.weights_convert.originals import canonical_shapes, from_original, layout, to_original
from weights_convert.families.point_rend import WEIGHTS
from weights_convert.finetuning import start_from
from weights_convert.upstreams.detectron2 import UPSTREAM, current_name

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
