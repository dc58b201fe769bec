"""YOLACT's key map: every variant both ways, and what does not fit is refused by name."""

from pathlib import Path

import numpy as np
import pytest

from common.config import model_names
from common.errors import UserError
from common.models import load_settings
from common.weights import check_fit, compare_weights
from tests.goldens import golden
from tests.weights_convert.originals import canonical_shapes, from_original, layout, to_original
from weights_convert import open_weights
from weights_convert.families.yolact import WEIGHTS
from weights_convert.writers import write_pth

YOLACTS = [name for name in model_names() if load_settings(name).family == "yolact"]
# Of the networks of real size the maps of names, which are one to one, stay among the quick tests.
FORWARD_CASES = [
    pytest.param(path.parent, id=path.parent.name, marks=() if path.parent.name.endswith("_tiny") else pytest.mark.slow)
    for path in sorted(Path(golden.__file__).parent.glob("*/manifest.json"))
    if golden.manifest(path.parent)["kind"] == "yolact_forward"
]


@pytest.mark.parametrize("case", FORWARD_CASES)
def test_round_trip_of_a_golden_checkpoint(case):
    """The references' own names, shapes and order; all numbers come back to the bit."""
    settings = load_settings(golden.manifest(case)["model"])
    original = golden.checkpoint(case)
    weights = from_original(original, settings, case.name)
    check_fit(weights, canonical_shapes(settings), case.name)
    back = to_original(weights, settings, case.name)
    assert list(back) == list(original)
    assert compare_weights(back, original) == ""


@pytest.mark.parametrize("model", YOLACTS)
def test_the_map_is_one_to_one(model):
    settings = load_settings(model)
    entries = layout(settings)
    original = {entry.original: np.full(entry.shape, k, np.float32) for k, entry in enumerate(entries)}
    assert len(original) == len(entries)
    weights = from_original(original, settings, model)
    assert len(weights) == sum(not name.endswith("num_batches_tracked") for name in original)
    back = to_original(weights, settings, model)
    assert list(back) == list(original)
    counters = {name: np.zeros((), np.int64) for name in original if name.endswith("num_batches_tracked")}
    assert compare_weights(back, original | counters) == ""


def test_names_that_are_easy_to_get_wrong(tiny_original, tiny_weights):
    pairs = {
        "fpn.lat_layers.0.weight": "fpn.lateral.2.weight",  # the original counts from the coarsest
        "fpn.pred_layers.2.weight": "fpn.output.0.weight",
        "fpn.downsample_layers.0.weight": "fpn.downsample.0.weight",
        "backbone.layers.0.0.conv1.weight": "backbone.layer1.0.conv1.weight",
        "backbone.layers.3.0.downsample.1.running_var": "backbone.layer4.0.downsample.1.running_var",
        "proto_net.8.bias": "proto_net.conv4.bias",  # the upsampling stands between 4 and 8
        "proto_net.10.weight": "proto_net.conv5.weight",
        "prediction_layers.0.mask_layer.weight": "head.coefficients.weight",
        "semantic_seg_conv.bias": "semantic.bias",
    }
    for original, canonical in pairs.items():
        assert tiny_weights[canonical] is tiny_original[original]
    plus = {entry.original: entry.canonical for entry in layout(load_settings("yolact_plus_base"))}
    offsets = [name.split(".")[2:4] for name in plus if name.endswith("conv_offset_mask.weight")]
    blocks = {1: (0, 3), 2: (0, 3, 6, 9, 12, 15, 18, 21), 3: (0,)}
    assert offsets == [[str(stage), str(block)] for stage, chosen in blocks.items() for block in chosen]
    assert plus["backbone.layers.2.3.conv2.conv_offset_mask.bias"] == "backbone.layer3.3.conv2.offset_mask.bias"
    assert plus["maskiou_net.maskiou_net.10.weight"] == "mask_iou_net.conv6.weight"
    darknet = {entry.original: entry.canonical for entry in layout(load_settings("yolact_darknet53"))}
    assert darknet["backbone._preconv.1.bias"] == "backbone.stem.norm.bias"
    assert darknet["backbone.layers.2.8.conv2.0.weight"] == "backbone.layer3.8.conv2.conv.weight"


def test_what_the_original_drops_is_dropped(tiny_original):
    settings = load_settings("yolact_tiny")
    old = dict(tiny_original)
    for name, array in tiny_original.items():
        if name.startswith("backbone.layers.0."):
            old[name.replace("layers.0.", "layer1.")] = array
    old["fpn.downsample_layers.2.weight"] = old["fpn.downsample_layers.3.bias"] = np.zeros(3, np.float32)
    expected = from_original(tiny_original, settings, "tiny")
    assert compare_weights(from_original(old, settings, "old"), expected) == ""


def test_a_checkpoint_without_counters(tiny_original, tiny_weights):
    old = {name: array for name, array in tiny_original.items() if not name.endswith("num_batches_tracked")}
    assert compare_weights(from_original(old, load_settings("yolact_tiny"), "old"), tiny_weights) == ""


def test_one_key_dropped_added_or_of_another_shape_is_named(tiny_original, tiny_weights):
    settings = load_settings("yolact_tiny")
    for name, entry in zip(tiny_original, layout(settings), strict=True):
        if entry.canonical is None:
            continue
        fewer = {key: array for key, array in tiny_original.items() if key != name}
        with pytest.raises(UserError, match=f"tiny.pth: does not fit yolact_tiny: missing: {name}$"):
            from_original(fewer, settings, "tiny.pth")
        fewer = {key: array for key, array in tiny_weights.items() if key != entry.canonical}
        with pytest.raises(UserError, match=f"missing: {entry.canonical}$"):
            to_original(fewer, settings, "tiny")
        if not entry.canonical.startswith(WEIGHTS.heads):
            reshaped = tiny_original | {name: np.zeros((*entry.shape, 2), np.float32)}
            with pytest.raises(UserError, match=rf"of another shape: {name} \(.*, 2\) instead of \("):
                from_original(reshaped, settings, "tiny.pth")
    with pytest.raises(UserError, match=r"left over: proto_net\.12\.weight"):
        from_original(tiny_original | {"proto_net.12.weight": np.zeros(1, np.float32)}, settings, "tiny.pth")
    with pytest.raises(UserError, match="left over: momentum"):
        to_original(tiny_weights | {"momentum": np.zeros(1, np.float32)}, settings, "tiny")


def test_a_changed_number_and_swapped_channels_are_seen(tiny_original, tiny_weights):
    settings = load_settings("yolact_tiny")
    for name in ("backbone.layers.1.0.conv2.weight", "fpn.lat_layers.1.bias", "prediction_layers.0.conf_layer.weight"):
        canonical = next(e.canonical for e in layout(settings) if e.original == name)
        changed = tiny_original[name].copy()
        changed.flat[3] += 1e-3
        found = from_original(tiny_original | {name: changed}, settings, "tiny")
        assert compare_weights(found, tiny_weights).startswith(f"{canonical} differs")
        swapped = tiny_original[name].copy()
        swapped[[0, 1]] = swapped[[1, 0]]
        found = from_original(tiny_original | {name: swapped}, settings, "tiny")
        assert compare_weights(found, tiny_weights).startswith(f"{canonical} differs")


def torchvision_resnet(*depths: int) -> dict[str, np.ndarray]:
    """resnet50-19c8e357.pth and the like by shapes; files of 2017, so they have no counters."""
    shapes = {"conv1.weight": (64, 3, 7, 7), "bn1": (64,)}
    into = 64
    for stage, depth in enumerate(depths):
        width = 64 * 2**stage
        for block in range(depth):
            prefix = f"layer{stage + 1}.{block}"
            shapes |= {f"{prefix}.conv1.weight": (width, into, 1, 1), f"{prefix}.bn1": (width,)}
            shapes |= {f"{prefix}.conv2.weight": (width, width, 3, 3), f"{prefix}.bn2": (width,)}
            shapes |= {f"{prefix}.conv3.weight": (4 * width, width, 1, 1), f"{prefix}.bn3": (4 * width,)}
            if block == 0:
                downsample = f"{prefix}.downsample"
                shapes |= {f"{downsample}.0.weight": (4 * width, into, 1, 1), f"{downsample}.1": (4 * width,)}
            into = 4 * width
    shapes |= {"fc.weight": (1000, 2048), "fc.bias": (1000,)}
    names = {}
    for name, shape in shapes.items():
        is_norm = not name.endswith((".weight", ".bias"))
        for leaf in (".weight", ".bias", ".running_mean", ".running_var") if is_norm else ("",):
            names[name + leaf] = np.full(shape, len(names), np.float32)
    return names


# torchvision's names are those of the original's resnet101_reducedfc.pth too.
@pytest.mark.parametrize(
    ("model", "depths"),
    [
        ("yolact_resnet50", (3, 4, 6, 3)),
        ("yolact_resnet50_pascal", (3, 4, 6, 3)),
        ("yolact_plus_resnet50", (3, 4, 6, 3)),
        ("yolact_base", (3, 4, 23, 3)),
        ("yolact_plus_base", (3, 4, 23, 3)),
    ],
)
def test_training_starts_from_an_imagenet_resnet(tmp_path, model, depths):
    settings, source = load_settings(model), torchvision_resnet(*depths)
    write_pth(tmp_path / "resnet.pth", source)
    weights, card = open_weights(tmp_path / "resnet.pth", settings)
    kept, skipped = WEIGHTS.fit_for_finetuning(weights, canonical_shapes(settings), "resnet.pth")
    expected = {f"backbone.{name}": array for name, array in source.items() if not name.startswith("fc.")}
    assert compare_weights(kept, expected) == "" and skipped == []
    assert card.model == model
    del source["layer2.0.bn2.bias"]
    with pytest.raises(UserError, match=r"missing: layers\.1\.0\.bn2\.bias"):
        WEIGHTS.read_backbone(source, settings, "resnet.pth")


def test_training_starts_from_the_originals_darknet(tmp_path):
    """darknet53.pth has the names of the original's backbone."""
    settings = load_settings("yolact_darknet53")
    entries = {e.original.removeprefix("backbone."): e for e in layout(settings) if "backbone." in e.original}
    source = {name: np.full(entry.shape, k, np.float32) for k, (name, entry) in enumerate(entries.items())}
    write_pth(tmp_path / "darknet53.pth", source)
    weights, _ = open_weights(tmp_path / "darknet53.pth", settings)
    kept, skipped = WEIGHTS.fit_for_finetuning(weights, canonical_shapes(settings), "darknet53.pth")
    expected = {entry.canonical: source[name] for name, entry in entries.items() if entry.canonical}
    assert compare_weights(kept, expected) == "" and skipped == []
    with pytest.raises(UserError, match="left over: classifier"):
        WEIGHTS.read_backbone(source | {"classifier": np.zeros(1)}, settings, "darknet53.pth")


def test_finetuning_skips_heads_of_another_size_by_name(tiny_weights):
    settings = load_settings("yolact_tiny", ["num_classes=7"])
    shapes = canonical_shapes(settings)
    kept, skipped = WEIGHTS.fit_for_finetuning(tiny_weights, shapes, "tiny")
    assert skipped == ["head.classes.weight", "head.classes.bias", "semantic.weight", "semantic.bias"]
    assert set(kept) == set(tiny_weights) - set(skipped)
    with pytest.raises(UserError, match=r"of another shape: head\.classes\.weight \(15, .* instead of \(24, "):
        check_fit(tiny_weights, shapes, "tiny")
    for name in ("proto_net.conv1.weight", "head.box.weight"):
        with pytest.raises(UserError, match=f"missing: {name}"):
            WEIGHTS.fit_for_finetuning({n: a for n, a in tiny_weights.items() if n != name}, shapes, "tiny")
    with pytest.raises(UserError, match=r"of another shape: proto_net\.conv1\.bias"):
        WEIGHTS.fit_for_finetuning(tiny_weights | {"proto_net.conv1.bias": np.zeros(1)}, shapes, "tiny")


@pytest.mark.parametrize("model", [name for name in YOLACTS if name != "yolact_tiny"])
def test_another_variant_is_refused_by_name(tmp_path, model, tiny_original):
    write_pth(tmp_path / "yolact_tiny_3_4000.pth", tiny_original)
    with pytest.raises(UserError, match=rf"4000\.pth: these are weights of yolact_tiny, not of {model}$"):
        open_weights(tmp_path / "yolact_tiny_3_4000.pth", load_settings(model))
