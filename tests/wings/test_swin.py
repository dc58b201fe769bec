"""The Swin Transformer's blocks against the same ones in plain NumPy, and its part in a training step."""

import math

import numpy as np
import pytest

from common.models import load_settings
from common.training.drop_path import draw_branch_scales
from tests.goldens import golden
from tests.wings.rcnn_batch import PADDED, batch_of_bitmaps, training_batch
from tests.wings.test_backbones import assert_same, fill

CHANNELS, HEADS, WINDOW = 12, 3, 4
# Smaller than a window, of one pixel's side, of whole windows, and odd.
SIZES = [(1, 1), (2, 3), (1, 9), (6, 1), (4, 4), (8, 4), (5, 11)]
TINY = [
    "network.backbone={kind: swin, width: 8, depths: [2, 2, 1, 1], heads: [1, 2, 4, 8], window: 4}",
    "network.channels=16",
    "network.box_channels=24",
    "num_classes=3",
    "schedule.batch_size=2",
]

TRAINED = [
    "network.frozen_stages=0",
    "network.frozen_norm=false",
    "losses.regions_per_image=32",
    "rpn.training.total=60",
    "detection.max_detections=4",
    "schedule.optimizer=adamw",
    "schedule.weight_decay=0",
]


def normed(x, weights, name):
    centred = x - x.mean(-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return centred / deviation * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(x, weights, name):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def attended(x, weights, shift):
    """A map (H, W, C), all its tokens at once: what is in another window has no share.

    In windows that reach over the map's edge, tokens of its two sides see each other by 100 less.
    """
    height, width, channels = x.shape
    high, wide = (math.ceil(side / WINDOW) * WINDOW for side in (height, width))
    x = np.pad(x, ((0, high - height), (0, wide - width), (0, 0))).reshape(-1, channels)
    y_x = np.indices((high, wide)).reshape(2, -1)
    rolled = (y_x - shift) % np.array([[high], [wide]])
    apart = (rolled[:, :, None] // WINDOW != rolled[:, None] // WINDOW).any(0)
    cut = ((y_x < shift)[:, :, None] != (y_x < shift)[:, None]).any(0)
    down, across = np.where(apart, 0, rolled[:, :, None] - rolled[:, None]) + WINDOW - 1
    bias = weights["attn.relative_position_bias_table"][down * (2 * WINDOW - 1) + across]
    q, k, v = linear(x, weights, "attn.qkv").reshape(len(x), 3, HEADS, -1).transpose(1, 2, 0, 3)
    logits = q @ k.transpose(0, 2, 1) / math.sqrt(channels // HEADS) + bias.transpose(2, 0, 1) - 100.0 * cut
    logits = np.where(apart, -np.inf, logits)
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    y = shares / shares.sum(-1, keepdims=True) @ v
    y = linear(y.transpose(1, 0, 2).reshape(len(x), channels), weights, "attn.proj")
    return y.reshape(high, wide, channels)[:height, :width]


def block(x, weights, shift, scales):
    """Maps (N, H, W, C), scales (N, 2)."""
    scales = scales[:, :, None, None, None]
    x = x + np.stack([attended(each, weights, shift) for each in normed(x, weights, "norm1")]) * scales[:, 0]
    hidden = linear(normed(x, weights, "norm2"), weights, "mlp.fc1")
    hidden = hidden * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2))) / 2
    return x + linear(hidden, weights, "mlp.fc2") * scales[:, 1]


@pytest.fixture
def made(wing, framework):
    """made(shifted) is a block of the wing and its weights."""

    def make(shifted):
        layer = wing("swin").SwinBlock(CHANNELS, HEADS, WINDOW, shifted)
        weights = {name: value.astype(np.float64) for name, value in fill(layer, framework).items()}
        return layer, weights

    return make


@pytest.mark.parametrize("shifted", [False, True])
def test_blocks_take_maps_of_any_size(shifted, made, xp, like):
    layer, weights = made(shifted)
    for size in SIZES:
        x = golden.image(7, (2, *size, CHANNELS))
        expected = block(x, weights, WINDOW // 2 if shifted else 0, np.ones((2, 2)))
        assert_same([layer(xp.asarray(x, like), None)], [expected], xp)


def test_each_image_has_its_own_scales_of_the_branches(made, xp, like):
    layer, weights = made(True)
    x, scales = golden.image(7, (3, 5, 6, CHANNELS)), np.float32([[0, 1.25], [1.5, 0], [0, 0]])
    answer = layer(xp.asarray(x, like), xp.asarray(scales, like))
    assert_same([answer], [block(x, weights, WINDOW // 2, scales)], xp)
    np.testing.assert_array_equal(xp.to_numpy(answer)[2], x[2])


def test_patches_are_merged_rows_before_columns(wing, framework, xp, like):
    layer = wing("swin").PatchMerging(CHANNELS)
    weights = fill(layer, framework)
    x = golden.image(7, (2, 3, 5, CHANNELS))
    padded = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
    corners = [padded[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
    expected = normed(np.concatenate(corners, -1), weights, "norm") @ weights["reduction.weight"].T
    assert_same([layer(xp.asarray(x, like))], [expected], xp)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["mask_rcnn_swin_t", "point_rend_r50_fpn", "cascade_mask_rcnn_swin_t"])
def test_every_two_stage_family_trains_on_a_swin(model, wing):
    settings = load_settings(model, [*TINY, *TRAINED, "convention=mmdetection", "network.drop_path=0.2"])
    learner = wing("learner").Learner(settings, "cpu", training=True)
    learner.load_weights({name: golden.weight(name, shape) for name, shape in learner.shapes().items()})
    scales = draw_branch_scales([3, 4], 0.2, settings.network.backbone.blocks)
    before = learner.weights()
    losses = learner.train_step(batch_of_bitmaps(settings, (0, 1)) | {"branch_scales": scales}, 1e-3)
    assert losses.keys() == settings.loss_terms().keys() and all(0 < value < 1000 for value in losses.values())
    after = learner.weights()
    moved = {name for name in learner.trainable() if not np.array_equal(after[name], before[name])}
    assert moved >= {name for name in learner.trainable() if not name.startswith("fpn.output.")}
    sizes = batch_of_bitmaps(settings, (0, 1))["host.image_size"]
    inputs = {"image": golden.image(4, (2, 3, *PADDED)), "image_size": sizes, "original_size": sizes}
    assert len(learner.predict(inputs)) == 2


@pytest.mark.slow
def test_gradients_of_a_cascade_mask_rcnn_reach_all_but_the_branches_left_out(wing):
    settings = load_settings("cascade_mask_rcnn_swin_t", TINY)
    learner = wing("learner").Learner(settings, "cpu", training=True)
    learner.load_weights({name: golden.weight(name, shape) for name, shape in learner.shapes().items()})
    scales = np.ones((2, 2 * settings.network.backbone.blocks), np.float32)
    scales[:, 5] = 0  # the MLP of the third block
    _, gradients = learner.gradients(training_batch(settings, (0, 1)) | {"branch_scales": scales})
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())
    # A pyramid's coarse maps may have no sampled region.
    seen = {name: each for name, each in gradients.items() if not name.startswith("fpn.output.")}
    branch = ("backbone.layer2.blocks.0.norm2.", "backbone.layer2.blocks.0.mlp.")
    assert {name for name, each in seen.items() if not each.any()} == {name for name in seen if name.startswith(branch)}
    assert any(name.startswith(branch) for name in seen)


@pytest.mark.slow
def test_each_stage_of_a_cascade_goes_on_with_the_boxes_that_are_chosen(wing):
    settings = load_settings("cascade_mask_rcnn_swin_t", TINY)
    learner = wing("learner").Learner(settings, "cpu", training=True)
    learner.load_weights({name: golden.weight(name, shape) for name, shape in learner.shapes().items()})
    scales = np.ones((2, 2 * settings.network.backbone.blocks), np.float32)
    batch, names = training_batch(settings, (0, 1)) | {"branch_scales": scales}, []

    def choose(name, own):
        names.append(name)
        return [each.select(np.arange(0)) for each in own] if name == "proposals3" else own

    (own, _), (chosen, _) = learner.gradients(batch), learner.gradients(batch, choose=choose)
    assert names == ["proposals", "proposals2", "proposals3"]
    assert {name for name in own if chosen[name] != pytest.approx(own[name])} == {"classes3", "boxes3", "masks3"}
