"""A training step of Mask R-CNN: terms held against NumPy, gradients against differences, and what has no object."""

import json
from pathlib import Path

import numpy as np
import pytest

from common import numpy_ops
from common.families.mask_rcnn.training import compute_losses
from common.models import load_settings
from tests.goldens import golden
from tests.wings.rcnn_batch import training_batch

SMALL = ["num_classes=4", "network.backbone.depths=[1,1,1,1]", "network.backbone.width=16", "network.channels=16"]
SMALL += ["schedule.batch_size=3", "losses.regions_per_image=32", "rpn.training.total=60", "network.frozen_norm=true"]
# maskrcnn-benchmark trains no anchor that leaves its image.
INSIDE = "rpn.anchor_sizes=[[8],[16],[24],[32],[48]]"
VARIANTS = {
    "maskrcnn-benchmark": ("mask_rcnn_r50_fpn", [*SMALL, "network.box_channels=32", INSIDE, "rpn.training.total=20"]),
    "C4": ("mask_rcnn_r50_c4", SMALL),
    "torchvision": ("mask_rcnn_r50_fpn_torchvision", [*SMALL, "network.box_channels=32"]),
    "detectron2": ("mask_rcnn_r50_fpn_detectron2", [*SMALL, "network.box_channels=32"]),
}
EMPTY = {
    "an image without objects": ((2,), []),
    "no proposals": ((0, 1), ["rpn.smallest_side=1000000"]),
    "neither": ((2,), ["rpn.smallest_side=1000000"]),
    # A share of no region at all.
    "no positives": ((0, 1), ["losses.positive_regions=0", "losses.positive_anchors=0"]),
    "one object": ((1,), ["rpn.smallest_side=1000000"]),
}
TERMS = ["objectness", "rpn_boxes", "classes", "boxes", "masks"]


def learner_for(wing, variant, *overrides):
    model, own = VARIANTS[variant]
    learner = wing("learner").Learner(load_settings(model, [*own, *overrides]), "cpu", training=True)
    learner.load_weights({name: golden.weight(name, shape) for name, shape in learner.shapes().items()})
    return learner


class InNumpy:
    """A wing's network to whoever knows NumPy alone: arrays go in and come out, all between its parts is NumPy's."""

    def __init__(self, network, xp, like):
        self.network, self.settings, self.xp, self.like = network, network.settings, xp, like

    def _apart(self, part, *arrays):
        answer = part(*(self._given(array) for array in arrays))
        return self._read(answer)

    def _given(self, array):
        return [self._given(x) for x in array] if isinstance(array, list) else self.xp.asarray(array, self.like)

    def _read(self, answer):
        if isinstance(answer, list | tuple):
            return [self._read(x) for x in answer]
        return self.xp.to_numpy(self.xp.stop_gradient(answer))

    def features(self, image, branch_scales=None):
        return self._apart(self.network.features, image)

    def rpn(self, maps):
        return self._apart(self.network.rpn, maps)

    def box_head(self, pooled):
        return self._apart(self.network.box_head, pooled)

    def mask_head(self, pooled):
        return self._apart(self.network.mask_head, pooled)


@pytest.mark.parametrize("variant", VARIANTS)
def test_terms_are_those_of_numpy(variant, wing, xp, like):
    learner = learner_for(wing, variant)
    batch = training_batch(learner.settings)
    losses, gradients = learner.gradients(batch)
    expected = compute_losses(InNumpy(learner.network, xp, like), batch)
    assert list(losses) == TERMS
    for name, value in losses.items():
        assert value == pytest.approx(numpy_ops.to_numpy(expected[name]).item(), rel=1e-4), name
    assert all(np.isfinite(gradient).all() and gradient.any() for gradient in gradients.values())


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_whole_step_is_the_same_in_every_framework(variant, wing):
    """The losses, and the sum of each gradient's absolute values, as PyTorch has them."""
    learner = learner_for(wing, variant)
    losses, gradients = learner.gradients(training_batch(learner.settings))
    expected = json.loads((Path(__file__).parent / "mask_rcnn_step.json").read_text())[variant]
    assert losses == pytest.approx(expected["losses"], rel=1e-4)
    sums = {name: np.abs(gradient).sum(dtype=np.float64) for name, gradient in gradients.items()}
    assert sums == pytest.approx(expected["gradients"], rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["maskrcnn-benchmark", "C4"])
def test_gradients_are_what_the_losses_do(variant, wing):
    """By differences, for the last layers, which change nothing that is sampled."""
    learner = learner_for(wing, variant)
    batch = training_batch(learner.settings)
    _, gradients = learner.gradients(batch)
    weights = learner.weights()
    for name in ("box_head.classes.bias", "box_head.deltas.bias", "mask_head.logits.bias", "mask_head.logits.weight"):
        direction = np.sign(gradients[name]) + (gradients[name] == 0)
        step = 2e-3 if name.endswith("weight") else 2e-2
        ends = []
        for sign in (1, -1):
            learner.load_weights(weights | {name: (weights[name] + sign * step * direction).astype(np.float32)})
            ends.append(sum(learner.gradients(batch)[0].values()))
        slope = (ends[0] - ends[1]) / (2 * step)
        assert slope == pytest.approx(np.abs(gradients[name]).sum(), rel=2e-2), name


@pytest.mark.parametrize(
    "variant", ["maskrcnn-benchmark", *(pytest.param(name, marks=pytest.mark.slow) for name in ("C4", "detectron2"))]
)
@pytest.mark.parametrize("case", EMPTY)
def test_where_something_is_missing_the_rest_is_trained(case, variant, wing):
    images, overrides = EMPTY[case]
    learner = learner_for(wing, variant, *overrides)
    losses, gradients = learner.gradients(training_batch(learner.settings, images))
    assert all(np.isfinite(value) for value in losses.values())
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())
    assert losses["objectness"] > 0 and gradients["rpn.objectness.bias"].any()
    without = {"neither": ["rpn_boxes", "classes", "boxes", "masks"]}.get(case, ["rpn_boxes", "boxes", "masks"])
    if case not in ("no proposals", "one object"):
        assert [losses[name] for name in without] == [0.0] * len(without)
        masks = [gradient for name, gradient in gradients.items() if name.startswith(("mask_head.", "rpn.deltas."))]
        assert not any(gradient.any() for gradient in masks)
    else:  # the objects' own boxes
        assert all(losses[name] > 0 for name in ("classes", "masks"))


def test_frozen_stages_stand_still(wing):
    norms = ("network.frozen_norm=false", "network.backbone.norm_eps=1e-5")
    learner = learner_for(wing, "maskrcnn-benchmark", *norms, "network.frozen_stages=2")
    still = ("backbone.conv1.", "backbone.bn1.", "backbone.layer1.")
    statistics = ("running_mean", "running_var")
    moving = {name for name in learner.shapes() if not name.startswith(still) and not name.endswith(statistics)}
    assert set(learner.trainable()) == moving
    before = learner.weights()
    learner.train_step(training_batch(learner.settings), 0.01)
    after = learner.weights()
    for name, value in before.items():
        assert np.array_equal(after[name], value) == name.startswith(still), name


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_biases_have_their_own_rate_and_decay(optimizer, wing):
    """With and without them, from one gradient: what a bias moves beyond its decay is doubled."""
    moved = {}
    for rate, decay in ((1, True), (2, False)):
        rules = [f"schedule.bias_rate={rate}", f"schedule.bias_decay={decay}", "schedule.weight_decay=0.1"]
        learner = learner_for(wing, "maskrcnn-benchmark", *rules, f"schedule.optimizer={optimizer}")
        before = learner.weights()
        learner.train_step(training_batch(learner.settings), 0.01)
        after = learner.weights()
        moved[rate] = {name: after[name] - before[name] for name in learner.trainable()}
    for name in learner.trainable():
        expected = moved[1][name]
        if name.endswith("bias"):
            expected = 2 * (expected + 0.01 * 0.1 * before[name])
        np.testing.assert_allclose(moved[2][name], expected, rtol=1e-3, atol=1e-5, err_msg=name)


def test_a_state_of_the_optimizer_goes_on(wing):
    learner = learner_for(wing, "maskrcnn-benchmark")
    batch = training_batch(learner.settings)
    learner.train_step(batch, 0.001)
    state, weights = learner.optimizer_state(), learner.weights()
    learner.train_step(batch, 0.001)
    expected = learner.weights()
    learner.load_weights(weights)
    learner.load_optimizer_state(state)
    learner.train_step(batch, 0.001)
    for name, value in learner.weights().items():
        assert np.array_equal(value, expected[name]), name


@pytest.mark.parametrize("variant", ["maskrcnn-benchmark", pytest.param("torchvision", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("broken", "value"), [("rpn.objectness.bias", np.nan), ("box_head.classes.bias", np.inf)])
def test_a_loss_that_is_not_finite_changes_nothing(wing, variant, broken, value):
    """A network that has burst: proposals, samples and losses come of numbers that are none."""
    learner = learner_for(wing, variant)
    before = learner.weights()
    before[broken][1] = value
    learner.load_weights(before)
    losses = learner.train_step(training_batch(learner.settings, (0, 1)), 1e-3)
    assert not np.isfinite(losses["objectness" if broken.startswith("rpn") else "classes"])
    for name, array in learner.weights().items():
        assert np.array_equal(array, before[name], equal_nan=True), name
