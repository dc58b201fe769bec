"""The checkpoints of cascades: every format of every variant both ways, what does not fit, other classes.

All networks have their own layers and few channels, but where the shapes are what tells a variant.
"""

import re
from pathlib import Path

import numpy as np
import pytest

from common.config import model_names
from common.errors import UserError
from common.models import load_settings
from common.weights import compare_weights
from tests.goldens import golden
from tests.weights_convert.originals import canonical_shapes, from_original, layout
from tests.weights_convert.small_cascades import FEW, SWIN, draw, draw_imagenet, entries_of, small
from weights_convert import conversion, convert, family_of, fit_for_training, open_weights, read_foreign
from weights_convert.conversion import formats, model_of, target_formats, write
from weights_convert.upstreams import upstreams
from weights_convert.writers import write_pth

GOLDEN = Path(golden.__file__).parent / "cascade_mask_rcnn_swin_t"
MODELS = [name for name in model_names() if name.startswith("cascade_mask_rcnn_")]
# What mmdetection's converter of Swins makes of the original's names.
RENAMED = {
    r"\.layers\.(?=\d+\.)": ".stages.",
    r"\.attn\.": ".attn.w_msa.",
    r"\.mlp\.fc1\.": ".ffn.layers.0.0.",
    r"\.mlp\.fc2\.": ".ffn.layers.1.",
    r"patch_embed\.proj\.": "patch_embed.projection.",
}


def in_mmdetection(name):
    """A name of Swin-Transformer-Object-Detection in mmdetection."""
    for pattern, replacement in RENAMED.items():
        name = re.sub(pattern, replacement, name) if name.startswith("backbone.") else name
    return name


VARIANTS = [(model, upstream) for model in MODELS for upstream in family_of(small(model)).layouts(small(model))]


@pytest.mark.parametrize(("model", "upstream"), VARIANTS)
def test_the_map_is_one_to_one(model, upstream):
    settings = small(model)
    original = draw(settings, upstream)
    read = formats()[upstream].read or formats()["swin_detection"].read
    weights = read(original, settings, model)
    assert {name: array.shape for name, array in weights.items()} == canonical_shapes(settings)
    back = formats()[upstream].write(weights, settings, model)
    assert list(back) == list(original) and compare_weights(back, original) == ""


def test_the_names_are_those_of_the_golden_checkpoint():
    keys, buffers = golden.manifest(GOLDEN)["keys"], set(golden.manifest(GOLDEN)["buffers"])
    entries = layout(load_settings("cascade_mask_rcnn_swin_t"))
    assert [(e.original, list(e.file_shape)) for e in entries if e.original not in buffers] == list(keys.items())
    assert {e.original for e in entries} == buffers | set(keys)


@pytest.mark.parametrize("model", [model for model in MODELS if "swin" in model])
def test_mmdetections_names_are_the_renamed_ones(model):
    settings = small(model)
    theirs = [e.original for e in entries_of(settings, "mmdetection")]
    assert set(theirs) == {in_mmdetection(e.original) for e in layout(settings)}
    merging = [name.removeprefix("backbone.stages.0.downsample.") for name in theirs if "stages.0.downsample" in name]
    assert merging == ["norm.weight", "norm.bias", "reduction.weight"]


def test_a_resnets_names():
    names = [e.original for e in layout(small("cascade_mask_rcnn_r50_fpn"))]
    norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    assert names[:6] == ["backbone.conv1.weight", *(f"backbone.bn1.{leaf}" for leaf in norm)]
    block = []
    for number in (1, 2, 3):
        block += [f"conv{number}.weight", *(f"bn{number}.{leaf}" for leaf in norm)]
    block += ["downsample.0.weight", *(f"downsample.1.{leaf}" for leaf in norm)]
    assert names[6:30] == [f"backbone.layer1.0.{name}" for name in block]
    head = ["fc_cls.weight", "fc_cls.bias", "fc_reg.weight", "fc_reg.bias"]
    head += [f"shared_fcs.{number}.{leaf}" for number in (0, 1) for leaf in ("weight", "bias")]
    assert [name for name in names if "bbox_head.1" in name] == [f"roi_head.bbox_head.1.{name}" for name in head]
    assert len(names) == 6 + 16 * 18 + 4 * 6 + 16 + 6 + 3 * 8 + 3 * 12


def test_the_channels_of_merged_tokens():
    """mmdetection unfolds 2x2 tokens channel by channel, row by row; the original goes down their columns first."""
    settings = small("cascade_mask_rcnn_swin_t")
    theirs = draw(settings, "mmdetection")
    ours = formats()["mmdetection"].read(theirs, settings, "m")
    tokens = [(0, 0), (1, 0), (0, 1), (1, 1)]  # (row, column), the original's
    for stage, channels in enumerate((8, 16, 32)):
        for name in ("reduction.weight", "norm.weight", "norm.bias"):
            found = ours[f"backbone.layer{stage + 2}.downsample.{name}"]
            unfolded = theirs[f"backbone.stages.{stage}.downsample.{name}"]
            for channel in range(channels):
                for number, (row, column) in enumerate(tokens):
                    column_of_ours, column_of_theirs = number * channels + channel, channel * 4 + row * 2 + column
                    assert np.array_equal(found[..., column_of_ours], unfolded[..., column_of_theirs])


@pytest.mark.parametrize(
    ("model", "upstream"),
    [
        ("cascade_mask_rcnn_swin_t", "swin_detection"),
        ("cascade_mask_rcnn_swin_t", "mmdetection"),
        ("cascade_mask_rcnn_r50_fpn", "mmdetection"),
    ],
)
def test_every_key_is_used(model, upstream):
    settings = small(model)
    original = draw(settings, upstream)
    read = formats()[upstream].read
    expected = read(original, settings, "m")
    dispensable = [e.original for e in entries_of(settings, upstream) if not e.canonical]
    assert dispensable
    fewer = {name: array for name, array in original.items() if name not in dispensable}
    assert compare_weights(read(fewer, settings, "m"), expected) == ""
    for name in [e.original for e in entries_of(settings, upstream) if e.canonical][::23]:
        with pytest.raises(UserError, match=rf"m\.pth: does not fit {model}: missing: {re.escape(name)}$"):
            read({key: array for key, array in original.items() if key != name}, settings, "m.pth")
    for extra in (
        "backbone.absolute_pos_embed",
        "roi_head.bbox_head.3.fc_cls.weight",
        "roi_head.mask_iou_head.fc.bias",
    ):
        with pytest.raises(UserError, match=f"left over: {re.escape(extra)}"):
            read(original | {extra: np.zeros(1, np.float32)}, settings, "m.pth")


def test_what_mmdetections_own_tool_takes_out():
    settings = small("cascade_mask_rcnn_r50_fpn")
    original = draw(settings, "mmdetection")
    more = {"data_preprocessor.mean": np.zeros((3, 1, 1), np.float32)}
    more |= {f"ema_{name.replace('.', '_')}": array + 1 for name, array in original.items()}
    found = from_original(original | more, settings, "m")
    assert compare_weights(found, from_original(original, settings, "m")) == ""


# Files


def test_one_format_alone_recognises_a_file():
    swin, r50 = small("cascade_mask_rcnn_swin_s"), small("cascade_mask_rcnn_r50_fpn")
    with_swin = load_settings("cascade_mask_rcnn_swin_t", [SWIN, *FEW])
    files = {
        "swin_detection": [draw(swin, "swin_detection"), draw(small("cascade_mask_rcnn_swin_t_plain"), "modelscope")],
        "mmdetection": [draw(swin, "mmdetection"), draw(r50, "mmdetection")],
        "swin_imagenet": [
            draw_imagenet(with_swin),
            draw_imagenet(with_swin, moby=True),
            draw_imagenet(with_swin, "mmclassification"),
        ],
        "imagenet": [{"conv1.weight", "layer1.0.conv1.weight"}],
        "caffe2": [{"conv1_w", "res2_0_branch2a_w"}],
    }
    for model in ("mask_rcnn_tiny", "mask_rcnn_r50_fpn_torchvision", "mask_rcnn_r50_fpn_detectron2", "yolact_tiny"):
        settings = load_settings(model)
        files.setdefault(family_of(settings).original(settings), []).append({e.original for e in layout(settings)})
    for expected, each in files.items():
        for names in each:
            assert [one.name for one in upstreams() if one.recognises and one.recognises(set(names))] == [expected]


@pytest.mark.parametrize(
    ("target", "name"), [("swin_detection", "m.pth"), ("mmdetection", "m.pth"), ("modelscope", "pytorch_model.bin")]
)
def test_there_and_back(tmp_path, monkeypatch, target, name):
    model = "cascade_mask_rcnn_swin_b_modelscope"
    monkeypatch.setattr(
        conversion, "load_settings", lambda name, *rest: small(name) if name in MODELS else load_settings(name)
    )
    settings = small(model)
    original = draw(settings, "swin_detection")
    write_pth(tmp_path / "first.pth", original, "state_dict")
    weights, card = convert(tmp_path / "first.pth", model)
    write(tmp_path / name, weights, card, target)
    assert list(read_foreign(tmp_path / name)) == [e.original for e in entries_of(settings, target)]
    again, card_again = convert(tmp_path / name, model)
    assert compare_weights(again, weights) == "" and card_again == card
    assert set(target_formats(model)) >= {"swin_detection", "mmdetection", "modelscope"}
    for prefix in ("model.", "module.", "module.model."):
        write_pth(tmp_path / "trainer.bin", {prefix + key: array for key, array in original.items()}, "state_dict")
        assert compare_weights(open_weights(tmp_path / "trainer.bin", settings)[0], weights) == ""


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("cascade_mask_rcnn_swin_tiny_patch4_window7.pth", "cascade_mask_rcnn_swin_t"),
        ("cascade_mask_rcnn_swin_tiny_patch4_window7_1x.pth", "cascade_mask_rcnn_swin_t_1x"),
        ("moby_cascade_mask_rcnn_swin_tiny_patch4_window7_3x.pth", "cascade_mask_rcnn_swin_t"),
        ("moby_cascade_mask_rcnn_swin_tiny_patch4_window7_1x.pth", "cascade_mask_rcnn_swin_t_1x"),
        ("cascade_mask_rcnn_swin_small_patch4_window7.pth", "cascade_mask_rcnn_swin_s"),
        ("cascade_mask_rcnn_swin_base_patch4_window7.pth", "cascade_mask_rcnn_swin_b"),
        ("mask_rcnn_swin_tiny_patch4_window7_1x.pth", "mask_rcnn_swin_t_1x"),
        ("moby_mask_rcnn_swin_tiny_patch4_window7_3x.pth", "mask_rcnn_swin_t"),
        ("mask_rcnn_swin_small_patch4_window7.pth", "mask_rcnn_swin_s"),
        ("cascade_mask_rcnn_r50_fpn_1x_coco_20200203-9d4dcb24.pth", "cascade_mask_rcnn_r50_fpn"),
        ("epoch_36.pth", None),
        ("pytorch_model.bin", None),
        ("swin_tiny_patch4_window7_224.pth", None),
    ],
)
def test_the_variant_is_told_by_the_files_name(name, model):
    assert model_of(name) == model


@pytest.mark.parametrize(
    ("model", "upstream", "told"),
    [
        ("cascade_mask_rcnn_r50_fpn", "mmdetection", "cascade_mask_rcnn_r50_fpn"),
        ("cascade_mask_rcnn_swin_t_1x", "swin_detection", "cascade_mask_rcnn_swin_t"),
        ("cascade_mask_rcnn_swin_t_plain", "mmdetection", "cascade_mask_rcnn_swin_t_plain"),
        ("cascade_mask_rcnn_swin_b_modelscope", "swin_detection", "cascade_mask_rcnn_swin_b"),
    ],
)
def test_the_variant_is_told_by_the_arrays(tmp_path, monkeypatch, model, upstream, told):
    """At full size; what differs in its training alone is not told apart, and another head is named."""
    entries = entries_of(load_settings(model), upstream)
    arrays = {e.original: np.broadcast_to(np.float32(1), e.file_shape) for e in entries}
    monkeypatch.setattr(conversion, "read_foreign", lambda path: arrays)
    monkeypatch.setattr(conversion, "_float32", lambda array, what: array)
    path = tmp_path / "epoch_12.pth"
    path.write_bytes(b"")
    weights, card = convert(path)
    assert card.model == told and len(weights) == len(canonical_shapes(load_settings(model)))
    for other in ("cascade_mask_rcnn_swin_s", "cascade_mask_rcnn_swin_t_plain", "mask_rcnn_r50_fpn"):
        if other != told:
            with pytest.raises(UserError, match=f"^{path}: these are weights of {told}, not of {other}$"):
                open_weights(path, load_settings(other))


# Other classes, Mask R-CNN, schedules


@pytest.mark.parametrize(("model", "stages"), [("cascade_mask_rcnn_swin_t", 3), ("cascade_mask_rcnn_swin_t_plain", 11)])
def test_other_classes_take_the_rows_of_their_names(model, stages):
    one = "{positive_iou: 0.5, region_weights: [10, 10, 5, 5]}"
    settings = small(model, f"stages=[{', '.join([one] * stages)}]")
    other = settings.model_copy(update={"num_classes": 2})
    original = draw(settings, "swin_detection")
    assert family_of(other).count_classes(original, other, "swin_detection") == 3
    weights = from_original(original, other, "m")
    drawn = {name: np.zeros(shape, np.float32) for name, shape in canonical_shapes(other).items()}
    start = fit_for_training(weights, drawn, other, ("cat", "dog", "car"), ("car", "bird"), "m")
    assert (start.known, start.unknown, start.skipped) == (("car",), ("bird",), ())
    for stage in range(stages):
        classes, masks = (f"{head}.{stage}" for head in ("box_heads", "mask_heads"))
        rows = start.weights[f"{classes}.classes.weight"]
        np.testing.assert_array_equal(rows[0], weights[f"{classes}.classes.weight"][2])
        np.testing.assert_array_equal(rows[2], weights[f"{classes}.classes.weight"][3])  # the background
        assert not rows[1].any()
        kept = weights[f"{masks}.logits.bias"][2]
        np.testing.assert_array_equal(start.weights[f"{masks}.logits.bias"], [kept, 0])
        deltas = weights[f"{classes}.deltas.bias"]
        expected = deltas if len(deltas) == 4 else [*deltas[8:], 0, 0, 0, 0]
        np.testing.assert_array_equal(start.weights[f"{classes}.deltas.bias"], expected)


def test_mask_rcnns_of_mmdetection(tmp_path):
    swin = load_settings("mask_rcnn_swin_t", [SWIN, *FEW])
    resnet = small("mask_rcnn_r50_fpn_detectron2", "convention=mmdetection")
    for settings, upstream in ((swin, "swin_detection"), (swin, "mmdetection"), (resnet, "mmdetection")):
        original = draw(settings, upstream)
        assert {"roi_head.bbox_head.shared_fcs.1.bias", "roi_head.mask_head.convs.0.conv.weight"} <= set(original)
        write_pth(tmp_path / "epoch_12.pth", original, "state_dict")
        weights, _ = open_weights(tmp_path / "epoch_12.pth", settings)
        assert {name: array.shape for name, array in weights.items()} == canonical_shapes(settings)
        back = formats()[upstream].write(weights, settings, "m")
        assert list(back) == list(original) and compare_weights(back, original) == ""
    for override in ("network.background=first", "network.backbone={kind: darknet}"):
        settings = load_settings("mask_rcnn_r50_fpn_detectron2", [*FEW, "convention=mmdetection", override])
        assert family_of(settings).original(settings) is None


@pytest.mark.parametrize(
    ("stages", "line"), [(2, r"left over: roi_head\.(bbox|mask)_head\.2"), (4, r"missing: .*_head\.3")]
)
def test_a_file_of_another_number_of_stages(tmp_path, stages, line):
    settings = small("cascade_mask_rcnn_swin_t")
    write_pth(tmp_path / "epoch_36.pth", draw(settings, "swin_detection"), "state_dict")
    each = ", ".join(["{positive_iou: 0.5, region_weights: [10, 10, 5, 5]}"] * stages)
    with pytest.raises(UserError, match=rf"epoch_36\.pth: does not fit cascade_mask_rcnn_swin_t: {line}"):
        open_weights(tmp_path / "epoch_36.pth", small("cascade_mask_rcnn_swin_t", f"stages=[{each}]"))


@pytest.mark.parametrize(
    ("model", "epochs", "falls", "drop_path", "warmup"),
    [
        ("cascade_mask_rcnn_swin_t", 36, (27, 33), 0.2, 500),
        ("cascade_mask_rcnn_swin_t_1x", 12, (8, 11), 0, 500),
        ("cascade_mask_rcnn_swin_s", 36, (27, 33), 0.2, 500),
        ("cascade_mask_rcnn_swin_b", 36, (27, 33), 0.3, 500),
        ("cascade_mask_rcnn_swin_s_plain", 36, (27, 33), 0.2, 1000),
        ("cascade_mask_rcnn_r50_fpn", 12, (8, 11), 0, 500),
        ("mask_rcnn_swin_t", 36, (27, 33), 0.2, 500),
        ("mask_rcnn_swin_t_1x", 12, (8, 11), 0.1, 500),
        ("mask_rcnn_swin_s", 36, (27, 33), 0.2, 500),
    ],
)
def test_the_originals_schedules(model, epochs, falls, drop_path, warmup):
    """At 16 images a step an epoch of COCO has 7330 steps."""
    settings = load_settings(model)
    schedule = settings.schedule
    assert (schedule.iterations, schedule.steps) == (epochs * 7330, tuple(epoch * 7330 for epoch in falls))
    assert (settings.network.drop_path, schedule.warmup_iterations, schedule.batch_size) == (drop_path, warmup, 16)
