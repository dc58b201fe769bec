"""Batch norm in training: each wing's statistics and gradients against float64, and what of it stands still."""

import importlib

import numpy as np
import pytest

from common.models import load_settings
from tests.goldens import golden
from tests.wings.rcnn_batch import training_batch
from tests.wings.test_backbones import conv, fill

RNG = np.random.default_rng(0)
SHAPE = (2, 8, 256, 256)
# As behind a ReLU, and far from 0 in some channels: numbers that lose digits when they are added up one by one.
X = np.maximum(RNG.standard_normal(SHAPE) * 2 + RNG.normal(size=(1, 8, 1, 1)) * 2, 0).astype(np.float32)
GRADIENT = RNG.standard_normal(SHAPE).astype(np.float32)
EPS = 1e-5


@pytest.fixture
def norm(wing):
    made = wing("layers").BatchNorm(SHAPE[1], EPS)
    (made.set_train if hasattr(made, "set_train") else made.train)()
    return made


def of_channels(x: np.ndarray) -> np.ndarray:
    """The mean of each channel, to be set against (N, C, H, W)."""
    return x.mean((0, 2, 3), dtype=np.float64)[:, None, None]


@pytest.mark.compiled
def test_a_norm_adds_up_large_maps_precisely(norm, xp, like):
    exact, gradient = X.astype(np.float64), GRADIENT.astype(np.float64)
    deviation = np.sqrt(of_channels((exact - of_channels(exact)) ** 2) + EPS)
    expected = (exact - of_channels(exact)) / deviation
    by_x = (gradient - of_channels(gradient) - expected * of_channels(gradient * expected)) / deviation
    weights = xp.asarray(GRADIENT, like)
    answer = xp.to_numpy(norm(xp.asarray(X, like)))
    _, (found,) = xp.value_and_grad(lambda x: xp.sum(norm(x) * weights), xp.asarray(X, like))
    np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(xp.to_numpy(found), by_x, rtol=0, atol=1e-5 * np.abs(by_x).max())


def test_a_tenth_of_each_batch_goes_into_the_statistics(norm, xp, like):
    norm(xp.asarray(X, like))
    mean, variance = (
        xp.to_numpy(next(getattr(norm, name) for name in names if hasattr(norm, name)))
        for names in (("running_mean", "moving_mean"), ("running_var", "moving_variance"))
    )
    count = X.size // SHAPE[1]
    np.testing.assert_allclose(mean, 0.1 * of_channels(X)[:, 0, 0], rtol=1e-6)
    unbiased = X.var((0, 2, 3), dtype=np.float64) * count / (count - 1)
    np.testing.assert_allclose(variance, 0.9 + 0.1 * unbiased, rtol=1e-6)


def parameter_gradients(module, compute, framework):
    """The gradients of a scalar, which `compute` makes, by the parameters of a module that learn, by canonical name."""
    if framework == "torch":
        compute().backward()
        return {name: p.grad.numpy() for name, p in module.named_parameters() if p.requires_grad}
    if framework == "jittor":
        learned = {name: p for name, p in module.named_parameters() if not p.is_stop_grad()}
        gradients = importlib.import_module("jittor").grad(compute(), list(learned.values()))
        return {name: each.numpy() for name, each in zip(learned, gradients, strict=True)}
    learned = module.trainable_params()
    gradients = importlib.import_module("mindspore").grad(compute, None, weights=learned)()
    names = [parameter.name.replace("gamma", "weight").replace("beta", "bias") for parameter in learned]
    return {name: each.asnumpy() for name, each in zip(names, gradients, strict=True)}


@pytest.mark.parametrize("folded", [True, False])
def test_scale_and_shift_learn_while_the_statistics_stand_still(folded, wing, framework, xp, like):
    layers = wing("layers")
    unit = wing("backbones").DarknetConv(6, 4, 3, 1, layers.norm_class("statistics"))
    (unit.set_train if hasattr(unit, "set_train") else unit.train)()
    weights = {name: value.astype(np.float64) for name, value in fill(unit, framework).items()}
    x, factors = golden.image(1, (2, 6, 9, 7)), golden.image(2, (2, 4, 9, 7))
    given, by = xp.asarray(x, like), xp.asarray(factors, like)

    def run():  # without the unit's ReLU
        return layers.conv_norm(unit.conv, unit.norm, given) if folded else unit.norm(unit.conv(given))

    mean, variance, scale, shift = (
        weights[f"norm.{name}"][:, None, None] for name in ("running_mean", "running_var", "weight", "bias")
    )
    standardised = (conv(x.astype(np.float64), weights["conv.weight"]) - mean) / np.sqrt(variance + EPS)
    np.testing.assert_allclose(xp.to_numpy(xp.stop_gradient(run())), standardised * scale + shift, rtol=0, atol=1e-4)
    found = parameter_gradients(unit, lambda: xp.sum(run() * by), framework)
    assert found.keys() == {"conv.weight", "norm.weight", "norm.bias"}
    expected = {"norm.weight": (factors * standardised).sum((0, 2, 3)), "norm.bias": factors.sum((0, 2, 3))}
    for name, gradient in expected.items():
        np.testing.assert_allclose(found[name], gradient, rtol=0, atol=1e-5 * np.abs(gradient).max(), err_msg=name)


def test_mmdetections_norms_learn_their_scale_and_shift_behind_the_frozen_stages(wing):
    small = ["network.backbone.width=8", "network.backbone.depths=[1,1,1,1]", "network.channels=8", "num_classes=3"]
    small += ["network.box_channels=16", "losses.regions_per_image=32", "rpn.training.total=60"]
    small += ["schedule.batch_size=2", "schedule.weight_decay=0"]
    settings = load_settings("cascade_mask_rcnn_r50_fpn", small)
    learner = wing("learner").Learner(settings, "cpu", training=True)
    learner.load_weights({name: golden.weight(name, shape) for name, shape in learner.shapes().items()})
    still = ("backbone.conv1.", "backbone.bn1.", "backbone.layer1.")
    moving = {name for name in learner.shapes() if not name.startswith(still) and ".running_" not in name}
    assert set(learner.trainable()) == moving and "backbone.layer2.0.bn1.weight" in moving
    before = learner.weights()
    losses = learner.train_step(training_batch(settings, (0, 1)), 0.01)
    assert all(np.isfinite(value) for value in losses.values())
    after = learner.weights()
    # A pyramid's coarse maps may have no sampled region.
    seen = {name: value for name, value in before.items() if not name.startswith("fpn.output.")}
    assert {name for name, value in seen.items() if not np.array_equal(after[name], value)} == moving & seen.keys()
