"""The learner: the optimizers' arithmetic, what is trained, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from common.data.coco import resolve
from common.data.shapes import write_shapes
from common.errors import UserError
from common.families.yolact.samples import Training
from common.families.yolact.targets import collate
from common.models import initial_weights, load_settings
from tests.wings.rcnn_batch import training_batch

STEPS = 20
DECAY = 0.01
SIZE = "preprocessing.size=64"


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    root = write_shapes(tmp_path_factory.mktemp("data") / "shapes", images=8, seed=3, val_images=1)
    make = Training(resolve(root, "train"), load_settings("yolact_tiny", [SIZE]))
    return [make(index, np.random.default_rng(index)) for index in range(6)]


def learner_for(wing, *overrides):
    chosen = [SIZE, "schedule.batch_size=6", f"schedule.weight_decay={DECAY}", *overrides]
    settings = load_settings("yolact_tiny", chosen)
    learner = wing("learner").Learner(settings, "cpu", training=True)
    learner.load_weights(initial_weights(learner.shapes(), settings, seed=0))
    return learner


def sgd(weight, gradient, memory, rate, step):
    gradient = gradient + DECAY * weight
    memory["momentum"] = gradient if step == 0 else 0.9 * memory["momentum"] + gradient
    return weight - rate * memory["momentum"]


def adam(weight, gradient, memory, rate, step, decoupled=False):
    if decoupled:
        weight = weight * (1 - rate * DECAY)
    else:
        gradient = gradient + DECAY * weight
    memory["mean"] = 0.9 * memory.get("mean", 0) + 0.1 * gradient
    memory["square"] = 0.999 * memory.get("square", 0) + 0.001 * gradient**2
    mean, square = memory["mean"] / (1 - 0.9 ** (step + 1)), memory["square"] / (1 - 0.999 ** (step + 1))
    return weight - rate * mean / (np.sqrt(square) + 1e-8)


def adamw(weight, gradient, memory, rate, step):
    return adam(weight, gradient, memory, rate, step, decoupled=True)


@pytest.mark.slow
@pytest.mark.parametrize("rule", [sgd, adam, adamw], ids=lambda rule: rule.__name__)
def test_optimizers_follow_their_formulas(rule, wing, samples):
    """Against the formulas in float64, on the gradients that the step itself reports."""
    learner = learner_for(wing, f"schedule.optimizer={rule.__name__}")
    batch = collate(samples)
    expected = {name: value.astype(np.float64) for name, value in learner.weights().items()}
    memory = {name: {} for name in learner.trainable()}
    for step in range(STEPS):
        rate = 1e-4 * (1 + step % 3)
        gradients = {}
        learner.train_step(batch, rate, gradients=gradients)
        for name, gradient in gradients.items():
            expected[name] = rule(expected[name], gradient.astype(np.float64), memory[name], rate, step)
    weights = learner.weights()
    for name in learner.trainable():
        np.testing.assert_allclose(weights[name], expected[name], rtol=1e-6, atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_a_clipped_gradient_has_the_norm_asked_for(wing, samples):
    batch = collate(samples)
    learner = learner_for(wing, "schedule.clip_norm=0.5", "schedule.weight_decay=0")
    before, (_, gradients) = learner.weights(), learner.gradients(batch)
    norm = np.sqrt(sum(np.sum(g.astype(np.float64) ** 2) for g in gradients.values()))
    assert norm > 0.5, "nothing is clipped"
    learner.train_step(batch, 1.0)
    after = learner.weights()
    for name, gradient in gradients.items():
        moved = before[name] - after[name]
        np.testing.assert_allclose(moved, gradient * 0.5 / norm, rtol=1e-3, atol=2e-6, err_msg=name)


@pytest.mark.slow
def test_each_gradient_is_clipped_by_itself(wing, samples):
    batch = collate(samples)
    learner = learner_for(wing, "schedule.clip_norm=0.05", "schedule.clip=each", "schedule.weight_decay=0")
    before, (_, gradients) = learner.weights(), learner.gradients(batch)
    norms = {name: np.sqrt(np.sum(g.astype(np.float64) ** 2)) for name, g in gradients.items()}
    assert min(norms.values()) < 0.05 < max(norms.values()), "all or nothing is clipped"
    learner.train_step(batch, 1.0)
    after = learner.weights()
    for name, gradient in gradients.items():
        moved, share = before[name] - after[name], 0.05 / max(norms[name], 0.05)
        np.testing.assert_allclose(moved, gradient * share, rtol=1e-3, atol=2e-6, err_msg=name)


def test_norms_stand_still_below_six_images(wing, samples):
    learner = learner_for(wing, "schedule.batch_size=2")
    norms = {name for name in learner.shapes() if ".bn" in name or ".0.downsample.1." in name}
    assert norms and not norms & set(learner.trainable())
    before = learner.weights()
    learner.train_step(collate(samples[:2]), 1e-3)
    after = learner.weights()
    assert not any(np.array_equal(before[name], after[name]) for name in ("backbone.conv1.weight", "head.box.bias"))
    for name in norms:
        assert np.array_equal(before[name], after[name]), name


@pytest.mark.slow
@pytest.mark.compiled
def test_norms_move_from_six_images_on(wing, samples):
    learner = learner_for(wing)
    before = learner.weights()
    losses = learner.train_step(collate(samples), 1e-3)
    after = learner.weights()
    assert list(losses) == ["B", "C", "M", "S"] and all(np.isfinite(value) for value in losses.values())
    for name in ("backbone.bn1.weight", "backbone.bn1.running_mean", "backbone.bn1.running_var"):
        assert not np.array_equal(before[name], after[name]), name


@pytest.mark.slow
def test_a_loss_that_is_not_finite_changes_nothing(wing, samples):
    """Neither parameters nor statistics nor memory, so that the next step is that of a run without such a batch."""
    batch = collate(samples)
    learner, other = learner_for(wing), learner_for(wing)
    for each in (learner, other):
        each.train_step(batch, 1e-3)
    image = batch["image"].copy()
    image[2, 0, 50, 60] = np.inf
    assert not all(map(np.isfinite, learner.train_step(batch | {"image": image}, 1e-3).values()))
    for mine, theirs in (
        (learner.weights(), other.weights()),
        (learner.optimizer_state(), other.optimizer_state()),
    ):
        for name, value in mine.items():
            assert np.array_equal(value, theirs[name]), name
    assert learner.train_step(batch, 1e-3) == other.train_step(batch, 1e-3)


def test_weights_that_do_not_fit_are_refused_by_name(wing):
    learner = learner_for(wing)
    weights = learner.weights()
    wrong = dict(weights, **{"head.box.bias": np.zeros(3, np.float32)})
    with pytest.raises(UserError, match=r"head\.box\.bias"):
        learner.load_weights(wrong)
    del weights["fpn.output.1.weight"]
    with pytest.raises(UserError, match=r"fpn\.output\.1\.weight"):
        learner.load_weights(weights)


@pytest.mark.slow
def test_the_optimizers_memory_comes_back_to_the_bit(wing, samples):
    batch, learner, other = collate(samples), learner_for(wing), learner_for(wing)
    for _ in range(2):
        learner.train_step(batch, 1e-2)
    other.load_weights(learner.weights())
    other.load_optimizer_state(learner.optimizer_state())
    assert learner.train_step(batch, 1e-2) == other.train_step(batch, 1e-2)
    mine, theirs = learner.weights(), other.weights()
    for name, value in mine.items():
        assert np.array_equal(value, theirs[name]), name


def test_a_step_of_mask_rcnn_goes_on_with_what_is_chosen_for_it(wing):
    settings = load_settings("mask_rcnn_tiny")
    learner = wing("learner").Learner(settings, "cpu", training=True)
    learner.load_weights(initial_weights(learner.shapes(), settings, seed=0))
    batch, seen = training_batch(settings), {}

    def choose_none(name, own):
        seen[name] = [len(each.rows) for each in own]
        return [replace(each, boxes=each.boxes[:0], scores=each.scores[:0], rows=each.rows[:0]) for each in own]

    own, _ = learner.gradients(batch)
    chosen, _ = learner.gradients(batch, choose=choose_none)
    assert list(seen) == ["proposals"] and min(seen["proposals"]) > 0
    assert own["rpn_boxes"] == pytest.approx(chosen["rpn_boxes"]) and own["classes"] != pytest.approx(chosen["classes"])
    assert learner.train_step(batch, 0.0, choose=choose_none)["classes"] == pytest.approx(chosen["classes"])


def test_float64_is_the_references_alone(wing, framework, samples):
    settings = load_settings("yolact_tiny", [SIZE])
    if framework != "torch":
        with pytest.raises(UserError, match="float64"):
            wing("learner").Learner(settings, "cpu", training=True, dtype="float64")
        return
    exact = wing("learner").Learner(settings, "cpu", training=True, dtype="float64")
    rounded = wing("learner").Learner(settings, "cpu", training=True)
    for learner in (exact, rounded):
        learner.load_weights(initial_weights(learner.shapes(), settings, seed=0))
    losses, gradients = exact.gradients(collate(samples[:2]))
    assert {gradient.dtype for gradient in gradients.values()} == {np.dtype(np.float64)}
    expected, _ = rounded.gradients(collate(samples[:2]))
    assert losses == pytest.approx(expected, rel=1e-5) and losses != expected
    assert exact.trace({"image": samples[0]["image"][None]})["p3"].dtype == np.float64
