"""The checkpoints of Mask2Former: every upstream's of every variant both ways, older names, and backbones."""

import re
from pathlib import Path

import numpy as np
import pytest

from common.config import model_names
from common.data.class_names import COCO_PANOPTIC, category_ids
from common.errors import UserError
from common.models import load_settings
from common.weights import compare_weights
from tests.goldens import golden
from tests.weights_convert.originals import canonical_shapes, from_original, layout
from tests.weights_convert.small_cascades import entries_of
from weights_convert import (
    conversion,
    convert,
    family_of,
    fit_for_training,
    mmdetection_names,
    open_weights,
    read_foreign,
)
from weights_convert.conversion import formats, model_of, target_formats, write
from weights_convert.upstreams import mask2former, upstreams
from weights_convert.writers import write_detectron2, write_pth

GOLDEN = Path(golden.__file__).parent / "mask2former_swin_t"
MODELS = [name for name in model_names() if name.startswith("mask2former_")]
FEW = ["network.channels=32", "network.decoder_width=16", "network.encoder_width=24", "num_classes=3", "things=3"]


def small(model, *overrides):
    """A variant with all of its layers and few channels."""
    is_swin = load_settings(model).network.backbone.kind == "swin"
    narrow = ["network.backbone.width=8"] + (["network.backbone.heads=[1, 2, 4, 8]"] if is_swin else [])
    return load_settings(model, [*narrow, *FEW, *overrides])


def drawn(settings, upstream):
    """A file's arrays, every number another."""
    weights = {
        name: np.random.default_rng(number).standard_normal(shape, np.float32)
        for number, (name, shape) in enumerate(canonical_shapes(settings).items())
    }
    return formats()[upstream].write(weights, settings, "drawn"), weights


# Formats that are written alone, whose files are read as mmdetection's.
READ_AS = {"mmdetection_2": "mmdetection", "modelscope": "mmdetection"}
VARIANTS = [(model, upstream) for model in MODELS for upstream in family_of(small(model)).layouts(small(model))]


@pytest.mark.parametrize(("model", "upstream"), VARIANTS)
def test_the_map_is_one_to_one(model, upstream):
    settings = small(model)
    source, weights = drawn(settings, upstream)
    reader = READ_AS.get(upstream, upstream)
    found = formats()[reader].read(source, settings, model)
    assert list(found) == [e.canonical for e in entries_of(settings, upstream) if e.canonical]
    assert compare_weights(found, weights) == ""
    assert [each.name for each in upstreams() if each.recognises and each.recognises(source)] == [reader]
    assert compare_weights(formats()[upstream].write(found, settings, model), source) == ""


def test_every_backbone_has_its_upstreams():
    names = {
        kind: set(family_of(small(f"mask2former_{kind}")).layouts(small(f"mask2former_{kind}")))
        for kind in ("r50", "swin_t")
    }
    assert names["r50"] == {"mask2former", "mmdetection", "mmdetection_2"}
    assert names["swin_t"] == names["r50"] | {"modelscope", "transformers"}
    settings = load_settings("mask2former_r50", [*FEW, "network.backbone={kind: darknet}"])
    assert family_of(settings).original(settings) is None


def test_the_names_are_those_of_the_golden_checkpoint():
    keys, buffers = golden.manifest(GOLDEN)["keys"], set(golden.manifest(GOLDEN)["buffers"])
    entries = layout(load_settings("mask2former_swin_t"))
    assert [(e.original, list(e.file_shape)) for e in entries if e.original not in buffers] == list(keys.items())
    assert {e.original for e in entries} == buffers | set(keys)


def test_a_resnets_names():
    names = [e.original for e in layout(small("mask2former_r101"))]
    norm = ["weight", *(f"norm.{leaf}" for leaf in ("weight", "bias", "running_mean", "running_var"))]
    parts = ["stem.conv1", "res2.0.shortcut", "res2.0.conv1", "res2.0.conv2", "res2.0.conv3", "res2.1.conv1"]
    assert names[:30] == [f"backbone.{part}.{leaf}" for part in parts for leaf in norm]
    assert "backbone.res4.22.conv3.norm.running_var" in names and "backbone.res4.23.conv1.weight" not in names


def test_older_names_of_the_original():
    """What the head of the first release called its parts, and what its loader makes of newer files by mistake."""
    settings = small("mask2former_swin_t")
    source, weights = drawn(settings, "mask2former")
    old = {
        name.replace("head.pixel_decoder.", "head.").replace("query_feat", "static_query"): x
        for name, x in source.items()
    }
    twice = {name.replace("head.pixel_decoder.", "head.pixel_decoder.pixel_decoder."): x for name, x in source.items()}
    assert {"sem_seg_head.adapter_1.norm.weight", "sem_seg_head.predictor.static_query.weight"} <= set(old)
    for arrays in (old, twice):
        assert set(arrays) != set(source)
        assert {mask2former.current_name(name) for name in arrays} == set(source)
        assert compare_weights(from_original(arrays, settings, "m"), weights) == ""
    with pytest.raises(UserError, match=r"m: it holds sem_seg_head\.pixel_decoder\.mask_features\.bias twice"):
        from_original(source | {"sem_seg_head.mask_features.bias": np.zeros(32, np.float32)}, settings, "m")


def test_names_of_mmdetection_2():
    settings = small("mask2former_swin_t")
    source, weights = drawn(settings, "mmdetection")
    replaced = {
        r"(encoder\.layers\.\d+)\.self_attn": r"\1.attentions.0",
        r"(transformer_decoder\.layers\.\d+)\.cross_attn": r"\1.attentions.0",
        r"(transformer_decoder\.layers\.\d+)\.self_attn": r"\1.attentions.1",
        r"(panoptic_head.*layers\.\d+)\.ffn\.": r"\1.ffns.0.",
    }
    old = {}
    for name, array in source.items():
        for pattern, replacement in replaced.items():
            name = re.sub(pattern, replacement, name)
        old[name] = array
    head = "panoptic_head.transformer_decoder.layers.8"
    assert {f"{head}.attentions.0.attn.in_proj_weight", f"{head}.attentions.1.attn.out_proj.bias"} <= set(old)
    assert "panoptic_head.pixel_decoder.encoder.layers.5.ffns.0.layers.0.0.weight" in old
    assert list(map(mmdetection_names.current_name, old)) == list(source)
    assert compare_weights(formats()["mmdetection"].read(old, settings, "m"), weights) == ""
    for upstream in ("mmdetection_2", "modelscope"):
        assert compare_weights(formats()[upstream].write(weights, settings, "m"), old) == ""
    with pytest.raises(UserError, match="left over: more"):
        formats()["mmdetection_2"].write(weights | {"more": np.zeros(1, np.float32)}, settings, "m")


def test_the_rows_of_queries_keys_and_values():
    settings = small("mask2former_swin_t")
    source, weights = drawn(settings, "transformers")
    block = "model.pixel_level_module.encoder.encoder.layers.2.blocks.1.attention.self"
    layer = "model.transformer_module.decoder.layers.3.self_attn"
    for theirs, ours in (
        ([f"{block}.{part}" for part in ("query", "key", "value")], "backbone.layer3.blocks.1.attn.qkv"),
        ([f"{layer}.{part}_proj" for part in "qkv"], "transformer_decoder.layers.3.self_attn.in_proj"),
    ):
        for leaf in ("weight", "bias"):
            rows = np.split(weights[f"{ours}.{leaf}"], 3)
            for name, expected in zip(theirs, rows, strict=True):
                np.testing.assert_array_equal(source[f"{name}.{leaf}"], expected)
    assert not any(".qkv." in name for name in source)
    del source[f"{layer}.k_proj.bias"]
    with pytest.raises(UserError, match=rf"^m: it has {layer}.q_proj.bias, but not {layer}.k_proj.bias$"):
        formats()["transformers"].read(source, settings, "m")


@pytest.mark.parametrize("upstream", ["mask2former", "mmdetection", "mmdetection_2", "modelscope", "transformers"])
def test_every_key_is_used(upstream):
    settings = small("mask2former_swin_t")
    source, weights = drawn(settings, upstream)
    read = formats()[READ_AS.get(upstream, upstream)].read
    named = [e.original for e in entries_of(settings, upstream) if e.canonical and ".qkv." not in e.original]
    assert len(named) > 300
    for name in named[::29]:
        told = mmdetection_names.current_name(name)
        with pytest.raises(UserError, match=rf"^m: does not fit mask2former_swin_t: missing: {re.escape(told)}$"):
            read({key: array for key, array in source.items() if key != name}, settings, "m")
    with pytest.raises(UserError, match=r"left over: .*more\.weight"):
        read(source | {f"{named[-1]}.more.weight": np.zeros(1, np.float32)}, settings, "m")
    buffers = {name for name in source if name.endswith(("relative_position_index", "criterion.empty_weight"))}
    assert compare_weights(read({n: x for n, x in source.items() if n not in buffers}, settings, "m"), weights) == ""


def test_the_classes_weights_are_written():
    settings = small("mask2former_r50")
    np.testing.assert_array_equal(
        drawn(settings, "mask2former")[0]["criterion.empty_weight"], np.float32([1, 1, 1, 0.1])
    )


# Files


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("mask2former", "m.pkl"),
        ("mask2former", "m.pth"),
        ("mmdetection", "m.pth"),
        ("mmdetection_2", "m.pth"),
        ("modelscope", "pytorch_model.bin"),
        ("transformers", "pytorch_model.bin"),
    ],
)
def test_there_and_back(tmp_path, monkeypatch, target, name):
    model = "mask2former_swin_t"
    monkeypatch.setattr(
        conversion, "load_settings", lambda name, *rest: small(name) if name in MODELS else load_settings(name)
    )
    source, expected = drawn(small(model), "mask2former")
    write_detectron2(tmp_path / "first.pkl", source)
    weights, card = convert(tmp_path / "first.pkl", model)
    assert compare_weights(weights, expected) == ""
    write(tmp_path / name, weights, card, target)
    assert set(read_foreign(tmp_path / name)) == set(drawn(small(model), target)[0])
    again, card_again = convert(tmp_path / name, model)
    assert compare_weights(again, weights) == "" and card_again == card
    assert set(target_formats(model)) >= {"mask2former", "mmdetection", "mmdetection_2", "modelscope", "transformers"}


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("model_final_94dc52.pkl", "mask2former_r50"),
        ("model_final_f07440.pkl", "mask2former_swin_l"),
        ("model_final_86143f.pkl", "mask2former_swin_t_instances"),
        ("model_final_f10217.pkl", None),  # detectron2's
        ("mask2former_r50_8xb2-lsj-50e_coco-panoptic_20230118_125535-54df384a.pth", "mask2former_r50"),
        ("mask2former_swin-t-p4-w7-224_8xb2-lsj-50e_coco_20220508_091649-01b0f990.pth", "mask2former_swin_t_instances"),
        ("model_0004999.pth", None),
    ],
)
def test_the_variant_is_told_by_the_files_name(name, model):
    assert model_of(name) == model


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("mask2former_r50", "mask2former_r50"),
        ("mask2former_r50_instances", "mask2former_r50_instances"),
        ("mask2former_swin_b_in21k", "mask2former_swin_b"),
        ("mask2former_swin_l", "mask2former_swin_l"),
    ],
)
def test_the_variant_is_told_by_the_arrays(tmp_path, monkeypatch, model, told):
    """At full size; the classes tell whether a model is for instances, and nothing from what a training started."""
    arrays = {e.original: np.broadcast_to(np.float32(1), e.file_shape) for e in layout(load_settings(model))}
    monkeypatch.setattr(conversion, "read_foreign", lambda path: arrays)
    monkeypatch.setattr(conversion, "_float32", lambda array, what: array)
    path = tmp_path / "model_final.pth"
    path.write_bytes(b"")
    weights, card = convert(path)
    assert card.model == told and len(weights) == len(canonical_shapes(load_settings(model)))
    if card.model == "mask2former_r50":
        assert card.classes == COCO_PANOPTIC and card.category_ids == category_ids(COCO_PANOPTIC)
        assert (card.classes[79:82], card.category_ids[79:82]) == (("toothbrush", "banner", "blanket"), (90, 92, 93))


def test_other_classes_take_the_rows_of_their_names():
    settings = small("mask2former_r50")
    other = settings.model_copy(update={"num_classes": 2})
    source, expected = drawn(settings, "mask2former")
    assert family_of(other).count_classes(source, other, "mask2former") == 3
    weights = from_original(source, other, "m")
    start = {name: np.zeros(shape, np.float32) for name, shape in canonical_shapes(other).items()}
    found = fit_for_training(weights, start, other, ("cat", "dog", "car"), ("car", "bird"), "m")
    assert (found.known, found.unknown, found.skipped) == (("car",), ("bird",), ())
    rows = expected["transformer_decoder.class_embed.weight"]
    np.testing.assert_array_equal(
        found.weights["transformer_decoder.class_embed.weight"], [rows[2], 0 * rows[2], rows[3]]
    )


# Backbones from ImageNet


def test_training_starts_from_detectron2s_file_of_torchvisions_resnet(tmp_path):
    settings = small("mask2former_r50")
    source, expected = drawn(settings, "mask2former")
    file = {name.removeprefix("backbone."): x for name, x in source.items() if name.startswith("backbone.")}
    file |= {"stem.fc.weight": np.zeros((10, 4), np.float32), "stem.fc.bias": np.zeros(10, np.float32)}
    write_detectron2(tmp_path / "R-50.pkl", file)
    weights, _ = open_weights(tmp_path / "R-50.pkl", settings)
    assert compare_weights(weights, {n: x for n, x in expected.items() if n.startswith("backbone.")}) == ""
    start = {name: np.zeros(shape, np.float32) for name, shape in canonical_shapes(settings).items()}
    assert not fit_for_training(weights, start, settings, ("a",), ("a",), "R-50.pkl").skipped


def test_training_starts_from_imagenets_swin(tmp_path):
    settings = small("mask2former_swin_b")
    source, expected = drawn(settings, "mask2former")
    norms = re.compile(r"norm\d\.")
    file = {name.removeprefix("backbone."): x for name, x in source.items() if name.startswith("backbone.")}
    file = {name: x for name, x in file.items() if not norms.match(name)}
    file |= {"norm.weight": np.ones(64, np.float32), "head.bias": np.ones(9, np.float32)}
    write_pth(tmp_path / "swin_base_patch4_window12_384.pth", file, "model")
    weights, _ = open_weights(tmp_path / "swin_base_patch4_window12_384.pth", settings)
    ours = {n: x for n, x in expected.items() if n.startswith("backbone.") and not norms.match(n[len("backbone.") :])}
    assert compare_weights(weights, ours) == ""
    start = {name: np.zeros(shape, np.float32) for name, shape in canonical_shapes(settings).items()}
    assert not fit_for_training(weights, start, settings, ("a",), ("a",), "swin.pth").skipped
