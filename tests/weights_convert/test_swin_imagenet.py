"""Training that starts from a Swin of ImageNet, in every two-stage family, from every kind of such a file."""

import numpy as np
import pytest

from common.errors import UserError
from common.models import load_settings
from common.weights import compare_weights
from tests.weights_convert.originals import canonical_shapes
from tests.weights_convert.small_cascades import FEW, SWIN, draw, draw_imagenet, small
from weights_convert import fit_for_training, open_weights
from weights_convert.conversion import formats
from weights_convert.writers import write_pth

TWO_STAGES = [
    ("cascade_mask_rcnn_swin_t", []),
    ("mask_rcnn_r50_fpn_detectron2", ["network.frozen_norm=false"]),
    ("mask_rcnn_r50_fpn_detectron2", ["convention=mmdetection"]),
    ("point_rend_r50_fpn", []),
]


@pytest.mark.parametrize("kind", ["microsoft", "moby", "mmclassification"])
@pytest.mark.parametrize(("model", "overrides"), TWO_STAGES)
def test_training_starts_from_imagenets_swin(tmp_path, model, overrides, kind):
    settings = load_settings(model, [SWIN, *FEW, *overrides])
    cascade = load_settings("cascade_mask_rcnn_swin_t", [SWIN, *FEW])
    source = draw_imagenet(cascade, "mmclassification" if kind == "mmclassification" else "", moby=kind == "moby")
    if kind == "microsoft":
        source = {f"module.{name}": array for name, array in source.items()}
    path = tmp_path / "swin.pth"
    write_pth(path, source, "model")
    weights, card = open_weights(path, settings)
    drawn = {name: np.zeros(shape, np.float32) for name, shape in canonical_shapes(cascade).items()}
    if model != "cascade_mask_rcnn_swin_t":  # whose network need not be known here
        drawn = {n: a for n, a in drawn.items() if n.startswith("backbone.")} | {"box_head.fc1.bias": np.zeros(6)}
    start = fit_for_training(weights, drawn, settings, card.classes, card.classes, "swin.pth")
    assert compare_weights(start.weights, weights) == "" and not start.skipped
    lacking = {name for name in drawn if name.startswith("backbone.")} - set(weights)
    stages = (1, 2, 3) if kind == "mmclassification" else (1, 2, 3, 4)
    assert lacking == {f"backbone.norm{stage}.{leaf}" for stage in stages for leaf in ("weight", "bias")}
    upstream = "mmdetection" if kind == "mmclassification" else "swin_detection"
    expected = formats()[upstream].read(draw(cascade, upstream, 11), cascade, "m")
    for name, array in weights.items():
        if not name.startswith("backbone.norm"):
            np.testing.assert_array_equal(array, expected[name], err_msg=name)


def test_a_table_of_other_windows_is_resized(tmp_path):
    """Against what torch.nn.functional.interpolate(mode="bicubic") gave for the same tables."""
    settings = load_settings("cascade_mask_rcnn_swin_t", [SWIN, *FEW, "network.backbone.window=2"])
    source = draw_imagenet(settings, window=3)
    table = "layers.1.blocks.0.attn.relative_position_bias_table"
    source[table] = np.stack([np.arange(25) ** 2 % 7, np.arange(25)], 1).astype(np.float32)
    write_pth(tmp_path / "swin.pth", source, "model")
    found = open_weights(tmp_path / "swin.pth", settings)[0]
    shrunk = found["backbone.layer2.blocks.0.attn.relative_position_bias_table"]
    torchs = [1.1488349, 2.5185192, 2.4382706, 1.8888898, 4.0, 0.1481473, 1.0877916, 1.2037028, 3.1560354]
    np.testing.assert_allclose(shrunk[:, 0], torchs, atol=2e-6)
    assert shrunk[4, 1] == 12  # in the middle nothing moves
    larger = load_settings("cascade_mask_rcnn_swin_t", [SWIN, *FEW, "network.backbone.window=3"])
    source = draw_imagenet(larger, window=2)
    source[table] = np.sin(np.arange(9, dtype=np.float32))[:, None] * np.ones(2, np.float32)
    write_pth(tmp_path / "swin.pth", source, "model")
    grown = open_weights(tmp_path / "swin.pth", larger)[0]["backbone.layer2.blocks.0.attn.relative_position_bias_table"]
    torchs = [-0.1103589, 0.3709831, 0.9949053, 1.1248837, 1.0976461, 0.0817196, 0.1038534, 0.1195479, 0.0758901]
    np.testing.assert_allclose(grown[:9, 1], torchs, atol=2e-6)


def test_an_imagenet_file_of_another_network_is_refused(tmp_path):
    settings = load_settings("cascade_mask_rcnn_swin_t", [SWIN, *FEW])
    source, path = draw_imagenet(settings), tmp_path / "swin.pth"
    for changed, message in (
        ({n: a for n, a in source.items() if n != "layers.2.blocks.1.mlp.fc2.bias"}, r"missing: .*mlp\.fc2\.bias$"),
        (source | {"absolute_pos_embed": np.zeros(3, np.float32)}, "left over: absolute_pos_embed$"),
        (
            source | {"layers.0.blocks.0.attn.relative_position_bias_table": np.zeros((49, 3), np.float32)},
            r"of another shape: layers.0.*table \(49, 3\) instead of \(49, 1\)$",
        ),
    ):
        write_pth(path, changed, "model")
        with pytest.raises(UserError, match=rf"swin\.pth as a backbone: does not fit {settings.model}: {message}"):
            open_weights(path, settings)
    resnet = small("cascade_mask_rcnn_r50_fpn")
    write_pth(path, source, "model")
    with pytest.raises(UserError, match=r"a file of swin_imagenet, which cascade_mask_rcnn_r50_fpn is not from$"):
        open_weights(path, resnet)
    backbone = {n: a for n, a in draw(resnet, "mmdetection").items() if n.startswith("backbone.")}
    plain = {name.removeprefix("backbone."): array for name, array in backbone.items()}
    write_pth(path, plain | {"fc.bias": np.zeros(9, np.float32)})
    with pytest.raises(UserError, match=r"a file of imagenet, which cascade_mask_rcnn_swin_t is not from$"):
        open_weights(path, settings)
    weights, card = open_weights(path, resnet)
    drawn = {name: np.zeros(shape, np.float32) for name, shape in canonical_shapes(resnet).items()}
    start = fit_for_training(weights, drawn, resnet, card.classes, card.classes, "r50.pth")
    assert {n for n in drawn if n.startswith("backbone.")} == set(start.weights)
    np.testing.assert_array_equal(weights["backbone.bn1.bias"], plain["bn1.bias"])
