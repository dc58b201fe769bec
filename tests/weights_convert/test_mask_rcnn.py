"""Mask R-CNN's key maps: every variant both ways, each original's file forms, and what does not fit, by name."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from common.config import model_names
from common.data.class_names import COCO, class_names
from common.errors import UserError
from common.families.mask_rcnn.anchors import cell_anchors
from common.families.mask_rcnn.conventions import CONVENTIONS
from common.models import load_settings
from common.weights import check_fit, compare_weights
from tests.goldens import golden
from tests.weights_convert.originals import canonical_shapes, from_original, layout, to_original
from tests.weights_convert.small_models import draw, draw_canonical, small
from weights_convert import __main__ as command
from weights_convert import conversion, convert, open_weights, read_foreign
from weights_convert.conversion import write
from weights_convert.families.mask_rcnn import WEIGHTS
from weights_convert.frameworks import read_canonical
from weights_convert.writers import write_jittor, write_pth

MODELS = [name for name in model_names() if load_settings(name).family == "mask_rcnn"]
# Of the networks of real size the maps of names, which are one to one, stay among the quick tests.
FORWARD_CASES = [
    pytest.param(path.parent, id=path.parent.name, marks=() if path.parent.name.endswith("_tiny") else pytest.mark.slow)
    for path in sorted(Path(golden.__file__).parent.glob("*/manifest.json"))
    if golden.manifest(path.parent)["kind"] == "mask_rcnn_forward"
]
ORIGINALS = {
    "maskrcnn_benchmark": "mask_rcnn_r50_fpn",
    "torchvision": "mask_rcnn_r50_fpn_torchvision",
    "detectron2": "mask_rcnn_r50_fpn_detectron2",
}


@pytest.mark.parametrize("case", FORWARD_CASES)
def test_round_trip_of_a_golden_checkpoint(case):
    """The references' own names, shapes and order; all numbers but the buffers' come back to the bit."""
    manifest = golden.manifest(case)
    settings = load_settings(manifest["model"])
    original = golden.checkpoint(case)
    weights = from_original(original, settings, case.name)
    check_fit(weights, canonical_shapes(settings), case.name)
    assert len(weights) == len(original) - len(manifest["buffers"])
    back = to_original(weights, settings, case.name)
    assert list(back) == list(original)
    for name, array in original.items():
        assert back[name].shape == array.shape and back[name].dtype == array.dtype, name
        if name not in manifest["buffers"]:
            np.testing.assert_array_equal(back[name], array, err_msg=name)
    without = {name: array for name, array in original.items() if name not in manifest["buffers"]}
    assert compare_weights(from_original(without, settings, case.name), weights) == ""


@pytest.mark.parametrize("model", MODELS)
def test_the_map_is_one_to_one(model):
    settings = small(model)
    original = draw(settings)
    assert len(original) == len(layout(settings))
    weights = from_original(original, settings, model)
    back = to_original(weights, settings, model)
    assert list(back) == list(original)
    buffers = [entry.original for entry in layout(settings) if entry.canonical is None]
    assert compare_weights(back, original | {name: back[name] for name in buffers}) == ""
    assert compare_weights(read_canonical(weights, settings, model), weights) == ""


def test_names_that_are_easy_to_get_wrong():
    pairs = {
        "maskrcnn_benchmark": {
            "backbone.body.stem.bn1.running_var": "backbone.bn1.running_var",
            "backbone.fpn.fpn_inner1.weight": "fpn.lateral.0.weight",
            "backbone.fpn.fpn_layer4.bias": "fpn.output.3.bias",
            "rpn.head.bbox_pred.weight": "rpn.deltas.weight",
            "roi_heads.box.predictor.bbox_pred.weight": "box_head.deltas.weight",
            "roi_heads.mask.predictor.conv5_mask.weight": "mask_head.deconv.weight",
        },
        "torchvision": {
            "backbone.body.layer3.0.downsample.1.bias": "backbone.layer3.0.downsample.1.bias",
            "backbone.fpn.inner_blocks.0.0.weight": "fpn.lateral.0.weight",
            "backbone.fpn.layer_blocks.3.0.bias": "fpn.output.3.bias",
            "rpn.head.conv.0.0.weight": "rpn.conv.weight",
            "roi_heads.mask_head.0.0.weight": "mask_head.conv1.weight",
        },
        "detectron2": {
            "backbone.bottom_up.res2.0.shortcut.norm.weight": "backbone.layer1.0.downsample.1.weight",
            "backbone.bottom_up.res5.1.conv2.norm.running_mean": "backbone.layer4.1.bn2.running_mean",
            "backbone.fpn_lateral2.weight": "fpn.lateral.0.weight",
            "roi_heads.mask_head.mask_fcn4.bias": "mask_head.conv4.bias",
            "roi_heads.mask_head.predictor.weight": "mask_head.logits.weight",
        },
    }
    for convention, names in pairs.items():
        settings = small(ORIGINALS[convention])
        original = draw(settings)
        weights = from_original(original, settings, convention)
        for name, expected in names.items():
            assert weights[expected] is original[name]


def test_what_the_state_dict_has_beside_the_weights_is_written_too():
    """The anchors of each level, and C4's last stage a second time."""
    settings = small("mask_rcnn_r50_c4")
    back = to_original(draw_canonical(settings), settings, "c4")
    box, mask = ("roi_heads.box.feature_extractor.head.", "roi_heads.mask.feature_extractor.head.")
    doubled = [name for name in back if name.startswith(mask)]
    assert len(doubled) == 3 * 15 + 5  # 3 blocks of 15 arrays and a shortcut of 5
    for name in doubled:
        np.testing.assert_array_equal(back[name], back[box + name.removeprefix(mask)])
    anchors = back["rpn.anchor_generator.cell_anchors.0"]
    expected = cell_anchors(CONVENTIONS["maskrcnn_benchmark"], 16, (32, 64, 128, 256, 512), (0.5, 1.0, 2.0))
    np.testing.assert_array_equal(anchors, expected)
    settings = small("mask_rcnn_r50_fpn")
    back = to_original(draw_canonical(settings), settings, "fpn")
    finest = back["rpn.anchor_generator.cell_anchors.0"].tolist()
    assert finest == [[-22, -10, 25, 13], [-14, -14, 17, 17], [-10, -22, 13, 25]]


@pytest.mark.parametrize("model", MODELS)
def test_one_key_dropped_added_or_of_another_shape_is_named(model):
    settings = small(model)
    original, weights = draw(settings), draw_canonical(settings)
    for name, canonical, shape, *_ in layout(settings)[::7]:
        if canonical is None:
            continue
        fewer = {key: array for key, array in original.items() if key != name}
        with pytest.raises(UserError, match=rf"m\.pth: does not fit {model}: missing: {re.escape(name)}$"):
            from_original(fewer, settings, "m.pth")
        fewer = {key: array for key, array in weights.items() if key != canonical}
        with pytest.raises(UserError, match=f"missing: {canonical}$"):
            to_original(fewer, settings, "m")
        if not canonical.startswith(WEIGHTS.heads):
            reshaped = original | {name: np.zeros((*shape, 2), np.float32)}
            with pytest.raises(UserError, match=rf"of another shape: {re.escape(name)} \(.*, 2\) instead of \("):
                from_original(reshaped, settings, "m.pth")
    for extra in ("roi_heads.keypoint.weight", "rpn.anchor_generator.cell_anchors.7", "pixel_mean.more"):
        with pytest.raises(UserError, match=f"left over: {re.escape(extra)}"):
            from_original(original | {extra: np.zeros(1, np.float32)}, settings, "m.pth")
    with pytest.raises(UserError, match="left over: momentum"):
        to_original(weights | {"momentum": np.zeros(1, np.float32)}, settings, "m")


def test_another_number_of_classes():
    for convention, model in ORIGINALS.items():
        settings = small(model)
        original = draw(settings.model_copy(update={"num_classes": 5}))
        assert WEIGHTS.count_classes(original, settings, convention) == 5
        weights = from_original(original, settings, convention)
        assert WEIGHTS.count_classes(weights, settings, "canonical") == 5
        kept, skipped = WEIGHTS.fit_for_finetuning(weights, canonical_shapes(settings), "m")
        heads = ("box_head.classes", "box_head.deltas", "mask_head.logits")
        assert skipped == [f"{head}.{leaf}" for head in heads for leaf in ("weight", "bias")]
        assert set(kept) == set(weights) - set(skipped)


# The file forms


def test_maskrcnn_benchmarks_file(tmp_path, small_models):
    settings = small("mask_rcnn_r50_fpn")
    original = draw(settings)
    expected = from_original(original, settings, "m")
    prefixed = {f"module.{name}": array for name, array in original.items()}
    for arrays in (original, prefixed):
        for entry in (None, "model"):
            write_pth(tmp_path / "model_0090000.pth", arrays, entry)
            weights, card = open_weights(tmp_path / "model_0090000.pth", settings)
            assert compare_weights(weights, expected) == ""
            assert (card.model, card.iteration, len(card.classes)) == ("mask_rcnn_r50_fpn", 90000, 3)
            assert card.preprocessing == settings.preprocessing and "maskrcnn-benchmark" in card.licence
    write_jittor(tmp_path / "model.pkl", original)  # as its port to Jittor has it
    assert compare_weights(open_weights(tmp_path / "model.pkl", settings)[0], expected) == ""
    write_pth(tmp_path / "half.pth", {f"module.{name}" if "rpn" in name else name: a for name, a in original.items()})
    with pytest.raises(UserError, match=r"missing: .*rpn.*left over: module\.rpn"):
        open_weights(tmp_path / "half.pth", settings)


def test_c4_takes_the_box_heads_stage(tmp_path, small_models):
    settings = small("mask_rcnn_r50_c4")
    original = draw(settings)
    write_pth(tmp_path / "e2e_mask_rcnn_R_50_C4_1x.pth", original, "model")
    weights, card = convert(tmp_path / "e2e_mask_rcnn_R_50_C4_1x.pth")
    assert card.model == "mask_rcnn_r50_c4"
    name = "layer4.0.conv1.weight"
    taken = original[f"roi_heads.box.feature_extractor.head.{name}"]
    np.testing.assert_array_equal(weights[f"box_head.{name}"], taken)
    assert not any(key.startswith("backbone.layer4") for key in weights)


def test_torchvisions_names_of_both_times(tmp_path, small_models):
    settings = small("mask_rcnn_r50_fpn_torchvision")
    original = draw(settings)
    expected = from_original(original, settings, "m")
    old = {}
    for name, array in original.items():
        name = re.sub(r"((?:inner|layer)_blocks\.\d)\.0\.", r"\1.", name).replace("head.conv.0.0.", "head.conv.")
        name = re.sub(r"mask_head\.(\d)\.0\.", lambda match: f"mask_head.mask_fcn{int(match[1]) + 1}.", name)
        old[name] = array
    assert len(set(old) - set(original)) == 26
    old["backbone.body.bn1.num_batches_tracked"] = np.zeros((), np.int64)
    write_pth(tmp_path / "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth", old)
    weights, card = convert(tmp_path / "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth")
    assert compare_weights(weights, expected) == "" and card.model == settings.model
    both = old | {"rpn.head.conv.0.0.bias": original["rpn.head.conv.0.0.bias"]}
    with pytest.raises(UserError, match=r"m\.pth: it holds rpn\.head\.conv\.0\.0\.bias twice"):
        from_original(both, settings, "m.pth")


def test_detectron2s_files(tmp_path, small_models):
    settings = small("mask_rcnn_r50_fpn_detectron2")
    original = draw(settings)
    expected = from_original(original, settings, "m")
    older = original | {
        "pixel_mean": np.zeros((3, 1, 1), np.float32),
        "pixel_std": np.ones((3, 1, 1), np.float32),
        "proposal_generator.anchor_generator.cell_anchors.0": np.zeros((3, 4), np.float32),
    }
    for protocol in (2, 3, 4, 5):
        zoo = {"model": older, "__author__": "Detectron2 Model Zoo", "matching_heuristics": True}
        (tmp_path / "model_final_f10217.pkl").write_bytes(pickle.dumps(zoo, protocol))
        weights, card = convert(tmp_path / "model_final_f10217.pkl", "mask_rcnn_R_50_FPN_3x")
        assert compare_weights(weights, expected) == "" and card.model == "mask_rcnn_r50_fpn_detectron2_3x"
    write_pth(tmp_path / "model_final.pth", original, "model")
    assert compare_weights(convert(tmp_path / "model_final.pth")[0], expected) == ""


@pytest.mark.parametrize(
    ("model", "target_format", "name"),
    [
        ("mask_rcnn_r50_fpn", "maskrcnn_benchmark", "m.pth"),
        ("mask_rcnn_r50_c4", "maskrcnn_benchmark", "m.pth"),
        ("mask_rcnn_r50_fpn_torchvision", "torchvision", "m.pth"),
        ("mask_rcnn_r50_fpn_detectron2", "detectron2", "m.pth"),
        ("mask_rcnn_r50_fpn_detectron2", "detectron2", "m.pkl"),
        ("mask_rcnn_r50_fpn", "torch", "m.pth"),
        ("mask_rcnn_r50_fpn", "jittor", "m.pkl"),
        ("mask_rcnn_r50_fpn", "mindspore", "m.ckpt"),
    ],
)
def test_there_and_back(tmp_path, small_models, model, target_format, name):
    settings = small(model)
    weights = draw_canonical(settings)
    write_pth(tmp_path / "first.pth", to_original(weights, settings, "m"))
    found, card = convert(tmp_path / "first.pth", model)
    assert compare_weights(found, weights) == ""
    write(tmp_path / name, found, card, target_format)
    again, card_again = convert(tmp_path / name, model)
    assert compare_weights(again, weights) == "" and card_again == card
    if target_format == settings.convention:
        assert list(read_foreign(tmp_path / name)) == [entry.original for entry in layout(settings)]
        for other in {"maskrcnn_benchmark", "torchvision", "detectron2", "yolact"} - {target_format}:
            with pytest.raises(UserError, match=f"{model} has the form of {target_format}, not of {other}"):
                write(tmp_path / "other.pth", found, card, other)


def test_what_is_written_for_detectron2_is_a_plain_pickle(tmp_path, small_models):
    settings = small("mask_rcnn_r50_fpn_detectron2")
    weights = draw_canonical(settings)
    write_pth(tmp_path / "first.pth", to_original(weights, settings, "m"))
    write(tmp_path / "m.pkl", *convert(tmp_path / "first.pth", settings.model), "detectron2")
    tree = pickle.loads((tmp_path / "m.pkl").read_bytes(), encoding="latin1")
    assert set(tree) == {"model", "__author__"}
    assert compare_weights(tree["model"], to_original(weights, settings, "m")) == ""


@pytest.mark.slow
def test_the_originals_frameworks_read_what_is_written(tmp_path, small_models, run_in):
    weights = {}
    for convention, model in ORIGINALS.items():
        settings = small(model)
        weights[convention] = to_original(draw_canonical(settings), settings, "m")
        write_pth(tmp_path / "first.pth", weights[convention])
        write(tmp_path / f"{convention}.pth", *convert(tmp_path / "first.pth", model), convention)
        np.savez(tmp_path / f"{convention}.npz", **weights[convention])
    code = """
for name in ("maskrcnn_benchmark", "torchvision", "detectron2"):
    state = torch.load(f"{name}.pth", weights_only=True)
    state = state if name == "torchvision" else state["model"]
    expected = np.load(f"{name}.npz")
    assert list(state) == expected.files, name
    assert all(np.array_equal(state[key].numpy(), expected[key]) for key in state), name
"""
    run_in("torch", code)


@pytest.mark.parametrize("model", [name for name in MODELS if name != "mask_rcnn_tiny"])
def test_the_variant_is_told_by_the_arrays(tmp_path, monkeypatch, model):
    """At full size, without a word in the file's name; another schedule's arrays are the same."""
    short = re.sub("_[13]x$", "", model)
    known = short if short in MODELS else model
    settings = load_settings(model)
    arrays = {entry.original: np.broadcast_to(np.float32(1), entry.shape) for entry in layout(settings)}
    monkeypatch.setattr(conversion, "read_foreign", lambda path: arrays)
    monkeypatch.setattr(conversion, "_float32", lambda array, what: array)
    path = tmp_path / "model_final.pth"
    path.write_bytes(b"")
    weights, card = convert(path)
    assert card.model == known and len(weights) == len(canonical_shapes(settings))
    assert len(card.classes) == settings.num_classes
    for other in MODELS:
        if other not in (known, f"{known}_1x", f"{known}_3x"):
            with pytest.raises(UserError, match=f"these are weights of {known}, not of {other}$"):
                open_weights(path, load_settings(other))


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("e2e_mask_rcnn_R_50_FPN_1x.pth", "mask_rcnn_r50_fpn"),
        ("e2e_mask_rcnn_R_50_C4_1x.pkl", "mask_rcnn_r50_c4"),
        ("e2e_mask_rcnn_X_101_32x8d_FPN_1x.pth", "mask_rcnn_x101_32x8d_fpn"),
        ("maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth", "mask_rcnn_r50_fpn_torchvision"),
        ("model_final_a54504.pkl", None),
        ("model_0090000.pth", None),
    ],
)
def test_the_variant_is_told_by_the_files_name(name, model):
    assert conversion.model_of(name) == model


def test_torchvisions_classes_are_cocos_ids():
    names = class_names(90)
    assert (names[0], names[11], names[12], names[89]) == ("person", "class 12", "stop sign", "toothbrush")
    assert [name for name in names if not name.startswith("class ")] == list(COCO)


@pytest.mark.parametrize("model", ["mask_rcnn_r50_fpn_torchvision", "mask_rcnn_r50_c4"])
def test_training_starts_from_torchvisions_resnet(tmp_path, small_models, model):
    settings = small(model)
    canonical = {n: a for n, a in draw_canonical(settings).items() if n.startswith(("backbone.", "box_head.layer4"))}
    source = {name.removeprefix("backbone.").removeprefix("box_head."): array for name, array in canonical.items()}
    source |= {"fc.weight": np.zeros((1000, 256), np.float32), "fc.bias": np.zeros(1000, np.float32)}
    source["bn1.num_batches_tracked"] = np.zeros((), np.int64)
    write_pth(tmp_path / "resnet50-19c8e357.pth", source)
    weights, _ = open_weights(tmp_path / "resnet50-19c8e357.pth", settings)
    kept, skipped = WEIGHTS.fit_for_finetuning(weights, canonical_shapes(settings), "resnet50.pth")
    if settings.convention == "torchvision":  # its norms' epsilon, which is 0 in the variant
        canonical |= {n: a + np.float32(1e-5) for n, a in canonical.items() if n.endswith("running_var")}
    assert skipped == [] and compare_weights(kept, canonical) == ""
    del source["layer4.0.bn2.bias"]
    with pytest.raises(UserError, match=r"missing: layer4\.0\.bn2\.bias"):
        WEIGHTS.read_backbone(source, settings, "resnet50.pth")


def test_another_familys_weights_are_refused_by_name(tmp_path, small_models):
    write_pth(tmp_path / "r.pth", draw(small("mask_rcnn_r50_fpn")))
    with pytest.raises(UserError, match=r"r\.pth: these are weights of mask_rcnn_r50_fpn, not of yolact_tiny$"):
        convert(tmp_path / "r.pth", "yolact_tiny")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{mb}", "out.pth"], "give --to torch or --to maskrcnn_benchmark"),
        (["{d2}", "out.pkl"], "give --to jittor or --to detectron2"),
        (["{mb}", "out.pth", "--to", "detectron2"], "mask_rcnn_r50_fpn has the form of maskrcnn_benchmark"),
        (
            ["{d2}", "out.pth", "--model", "mask_rcnn_r50_c4"],
            "weights of mask_rcnn_r50_fpn_detectron2, not of mask_rcnn",
        ),
        (["{d2}", "out.safetensors", "--from", "torchvision"], "which mask_rcnn_r50_fpn_detectron2 is not from"),
        (["{mb}", "out.safetensors", "--from", "caffe2"], "missing: conv1_w"),
        (["{tv}", "out.bin"], "give --to, one of canonical, torch, jittor, mindspore, torchvision"),
    ],
)
def test_the_commands_bad_input_is_one_line(tmp_path, small_models, monkeypatch, words, message):
    paths = {"mb": "e2e_mask_rcnn_R_50_FPN_1x", "tv": "maskrcnn_resnet50_fpn", "d2": "mask_rcnn_R_50_FPN_1x"}
    for key, convention in zip(paths, ORIGINALS, strict=True):
        paths[key] = tmp_path / f"{paths[key]}.pth"
        write_pth(paths[key], draw(small(ORIGINALS[convention])))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["weights_convert", *(word.format(**paths) for word in words)])
    with pytest.raises(UserError, match=re.escape(message)) as error:
        command.main()
    assert "\n" not in str(error.value) and not list(tmp_path.glob("out*"))
