"""Pose2Seg's key map: both namings of the original, its Jittor port, ImageNet weights, and what does not fit."""

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
from weights_convert import convert, open_weights, read_foreign
from weights_convert.conversion import write
from weights_convert.families.pose2seg import WEIGHTS
from weights_convert.writers import write_jittor, write_pth

MODELS = [name for name in model_names() if load_settings(name).family == "pose2seg"]
TINY = load_settings("pose2seg_tiny")


@pytest.fixture(scope="module")
def original(draw_original) -> dict[str, np.ndarray]:
    return draw_original("pose2seg_tiny")


@pytest.fixture(scope="module")
def weights(original) -> dict[str, np.ndarray]:
    """Those of `original` under canonical names."""
    return from_original(original, TINY, "tiny")


def test_the_originals_names_shapes_and_order():
    keys = golden.manifest(Path(golden.__file__).parent / "pose2seg_forward")["keys"]
    assert [(e.original, list(e.shape)) for e in layout(load_settings("pose2seg"))] == list(keys.items())


@pytest.mark.parametrize("model", MODELS)
def test_the_map_is_one_to_one(model):
    entries = layout(load_settings(model))
    canonical = [entry.canonical for entry in entries if entry.canonical]
    assert len(set(canonical)) == len(canonical) and len({entry.original for entry in entries}) == len(entries)
    assert all(entry.original.endswith(".num_batches_tracked") for entry in entries if not entry.canonical)


def test_names_that_are_easy_to_get_wrong(original, weights):
    pairs = {
        "backbone.layer2.0.conv4.weight": "backbone.layer2.0.downsample.0.weight",
        "backbone.layer4.0.bn4.running_var": "backbone.layer4.0.downsample.1.running_var",
        "backbone.fpn_c1p1.weight": "fpn.lateral.0.weight",
        "backbone.fpn_c4p4.bias": "fpn.lateral.3.bias",
        "backbone.fpn_p1.weight": "fpn.output.0.weight",
        "backbone.fpn_p4.bias": "fpn.output.3.bias",
        "segnet.layer1.1.conv2.bias": "segnet.layer1.1.conv2.bias",
        "segnet.decoder1.0.downsample.1.running_mean": "segnet.decoder1.0.downsample.1.running_mean",
    }
    for name, canonical in pairs.items():
        assert weights[canonical] is original[name]


def old_names(original):
    return {name.replace("segnet.", "pose2seg.seg_branch."): array for name, array in original.items()}


def without_counters(original):
    return {name: array for name, array in original.items() if not name.endswith("num_batches_tracked")}


def of_the_port(original):
    """In Jittor every array of a module is a parameter of it."""
    constants = {name: np.full((3, 512, 512), 0.5, np.float32) for name in ("mean", "std")}
    return without_counters(original) | constants


def on_several_devices(original):
    return {f"module.{name}": array for name, array in original.items()}


@pytest.mark.parametrize("form", [dict, old_names, without_counters, of_the_port, on_several_devices])
def test_every_form_of_the_originals_file(tmp_path, original, weights, form):
    for writer in (write_pth, write_jittor):
        writer(tmp_path / "last.pkl", form(original))
        found, card = convert(tmp_path / "last.pkl")  # the variant is told by the arrays
        assert compare_weights(found, weights) == ""
        assert (card.model, card.classes) == ("pose2seg_tiny", ("person",))
        assert card.preprocessing == TINY.preprocessing and "Pose2Seg" in card.licence


@pytest.mark.parametrize(
    ("target_format", "name"),
    [
        ("pose2seg", "m.pkl"),
        ("pose2seg_jittor", "m.pkl"),
        ("canonical", "m.safetensors"),
        ("torch", "m.pth"),
        ("jittor", "m.pkl"),
        ("mindspore", "m.ckpt"),
    ],
)
def test_there_and_back(tmp_path, original, weights, target_format, name):
    write_pth(tmp_path / "last.pkl", original)
    found, card = convert(tmp_path / "last.pkl")
    write(tmp_path / name, found, card, target_format)
    again, card_again = convert(tmp_path / name)
    assert compare_weights(again, weights) == "" and card_again == card
    if target_format.startswith("pose2seg"):
        written = original if target_format == "pose2seg" else without_counters(original)
        back = read_foreign(tmp_path / name)
        assert list(back) == list(written) and compare_weights(back, written) == ""


@pytest.mark.slow
def test_the_originals_frameworks_read_what_is_written(tmp_path, original, run_in):
    write_pth(tmp_path / "last.pkl", original)
    for target_format, expected in (("pose2seg", original), ("pose2seg_jittor", without_counters(original))):
        write(tmp_path / f"{target_format}.pkl", *convert(tmp_path / "last.pkl"), target_format)
        np.savez(tmp_path / f"{target_format}.npz", **expected)
    check = """
expected = np.load(f"{name}.npz")
assert list(found) == expected.files
assert all(np.array_equal(found[key], expected[key]) for key in found)
"""
    run_in("torch", "name = 'pose2seg'; found = torch.load('pose2seg.pkl', weights_only=True)" + check)
    run_in("jittor", "name = 'pose2seg_jittor'; found = jittor.load('pose2seg_jittor.pkl')" + check)


def test_training_starts_from_imagenet_weights(tmp_path, weights):
    """torchvision's file, and the one that the original makes of it."""
    backbone = {name: array for name, array in weights.items() if name.startswith("backbone.")}
    torchvision = {name.removeprefix("backbone."): array for name, array in backbone.items()}
    torchvision |= {"fc.weight": np.zeros((1000, 512), np.float32), "fc.bias": np.zeros(1000, np.float32)}
    own = {name.replace("downsample.0", "conv4").replace("downsample.1", "bn4"): a for name, a in torchvision.items()}
    own |= {"fpn_c4p4.weight": np.zeros((32, 512, 1, 1), np.float32), "bn1.num_batches_tracked": np.zeros((), np.int64)}
    for source in (torchvision, own):
        write_pth(tmp_path / "resnet50.pth", source)
        found, _ = open_weights(tmp_path / "resnet50.pth", TINY)
        kept, skipped = WEIGHTS.fit_for_finetuning(found, canonical_shapes(TINY), "resnet50.pth")
        assert skipped == [] and compare_weights(kept, backbone) == ""
    del own["layer4.0.bn4.bias"]
    with pytest.raises(UserError, match=r"as a backbone: .*missing: layer4\.0\.downsample\.1\.bias"):
        WEIGHTS.read_backbone(own, TINY, "resnet50.pth")


def test_what_does_not_fit_is_named(tmp_path, original):
    both = original | {"pose2seg.seg_branch.conv1.bias": original["segnet.conv1.bias"]}
    lacking = {name: array for name, array in original.items() if name != "backbone.fpn_p3.bias"}
    added = original | {"segnet.pred_big.bias": np.zeros(2, np.float32)}
    for source, message in (
        (both, "last.pkl: it holds segnet.conv1.bias twice, under its old name too"),
        (lacking, "missing: backbone.fpn_p3.bias"),
        (added, "left over: segnet.pred_big.bias"),
    ):
        with pytest.raises(UserError, match=re.escape(message)):
            from_original(source, TINY, "last.pkl")
    write_pth(tmp_path / "last.pkl", original)
    with pytest.raises(UserError, match=r"these are weights of pose2seg_tiny, not of pose2seg$"):
        open_weights(tmp_path / "last.pkl", load_settings("pose2seg"))
    with pytest.raises(UserError, match=r"these are weights of pose2seg_tiny, not of yolact_tiny$"):
        convert(tmp_path / "last.pkl", "yolact_tiny")
    with pytest.raises(UserError, match="pose2seg_tiny has the form of pose2seg, not of yolact"):
        write(tmp_path / "out.pth", *convert(tmp_path / "last.pkl"), "yolact")
