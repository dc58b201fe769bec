"""Pose2Seg beyond its golden cases: no person, one, several images at once, its parts apart, losses of no person."""

from pathlib import Path

import numpy as np
import pytest

from common.errors import UserError
from common.families.pose2seg import samples as pose2seg_samples
from common.families.pose2seg.prediction import gather_person_features
from common.models import load_settings
from tests.goldens import golden
from tests.wings.golden_learner import golden_learner

SETTINGS = load_settings("pose2seg_tiny")
STANDING = golden.arrays(Path(golden.__file__).parent / "pose2seg_forward")["in.keypoints.0"]


def batch_of(*counts: int) -> dict[str, np.ndarray]:
    """A batch for prediction of images with so many persons."""
    random, samples = np.random.default_rng(0), []
    for index, count in enumerate(counts):
        image = random.integers(0, 255, (120 + 10 * index, 160, 3), np.uint8)
        points = np.resize(STANDING, (count, 17, 3)) * [0.25, 0.25, 1] + [3.0 * index, 0, 0]
        samples.append(pose2seg_samples.prepare(image, SETTINGS) | pose2seg_samples.make_prompt(points))
    return pose2seg_samples.join(samples, SETTINGS)


def training_batch(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    persons, size = len(inputs["grid"]), SETTINGS.network.align_size
    masks = np.random.default_rng(1).integers(0, 2, (persons, size, size), np.uint8)
    return inputs | {"masks": masks, "normaliser.persons": np.array(persons, np.float32)}


@pytest.fixture(scope="module")
def learner(wing):
    return golden_learner(wing, "pose2seg_tiny", [])


def test_images_without_persons(learner):
    inputs = batch_of(0, 0)
    found = learner.predict(inputs)
    assert [each.masks.shape for each in found] == [(0, 120, 160), (0, 130, 160)]
    assert [each.boxes.shape for each in found] == [(0, 4)] * 2
    answers = learner.trace(inputs)
    size = SETTINGS.network.align_size
    shapes = {"rois": (0, SETTINGS.person_channels, size, size), "logits": (0, 2, size, size)}
    shapes |= {
        "p1": (2, SETTINGS.network.channels, *[SETTINGS.feature_size] * 2),
        "masks.0": (0, 120, 160),
        "masks.1": (0, 130, 160),
    }
    assert {name: answers[name].shape for name in shapes} == shapes
    assert list(learner.trace({"image": inputs["image"]})) == ["p1"]


def test_images_of_a_batch_do_not_touch_each_other(learner):
    """And persons stay in their order, whose scores they carry."""
    together = batch_of(2, 0, 1)
    together["person_score"] = np.float32([0.25, 0.75, 0.5])
    last = {name: value[2:] for name, value in together.items()}  # the third person is alone in the third image
    last["person_image"] = np.int32([0])
    alone = [learner.trace(one)["logits"] for one in (batch_of(2), last)]
    assert golden.distance(learner.trace(together)["logits"], np.concatenate(alone)) < 1e-4
    found = learner.predict(together)
    assert [each.scores.tolist() for each in found] == [[0.25, 0.75], [], [0.5]]
    assert [each.scores.tolist() for each in learner.predict(together, 0.5)] == [[0.75], [], []]
    unrated = together | {"person_score": np.float32([0, 0, 0])}
    assert [each.scores.tolist() for each in learner.predict(unrated)] == [[0, 0], [], [0]]
    for each in found:
        assert each.masks.shape[1:] == each.image_size
        for mask, box in zip(each.masks, each.boxes, strict=True):
            rows, columns = np.nonzero(mask)
            expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if len(rows) else [0] * 4
            np.testing.assert_array_equal(box, expected)


def test_the_parts_apart(learner, xp, like):
    inputs = batch_of(1, 1)
    answers, network = learner.trace(inputs), learner.network
    features = network.features(xp.asarray(inputs["image"], like))
    persons = {name: xp.asarray(inputs[name], like) for name in ("person_image", "grid", "skeletons")}
    rois = gather_person_features(features, persons, SETTINGS)
    for name, value in {"p1": features, "rois": rois, "logits": network.segnet(rois)}.items():
        assert golden.distance(xp.to_numpy(value), answers[name]) < 1e-4, name


def test_losses_are_the_mean_over_all_ranks_persons(learner):
    batch = training_batch(batch_of(2, 1))
    losses, gradients = learner.gradients(batch)
    logits = learner.trace(batch)["logits"].astype(np.float64)
    odds = logits[:, 1] - logits[:, 0]
    expected = np.logaddexp(0, np.where(batch["masks"] == 1, -odds, odds)).mean()
    assert losses == {"mask": pytest.approx(expected, rel=1e-5)}
    assert max(np.abs(gradient).max() for gradient in gradients.values()) > 0
    shared = batch | {"normaliser.persons": np.array(6, np.float32)}  # as many on another rank
    assert learner.gradients(shared)[0]["mask"] == pytest.approx(expected / 2, rel=1e-5)


def test_a_batch_without_persons_trains_nothing(wing):
    learner = wing("learner").Learner(SETTINGS, "cpu", training=True)
    learner.load_weights({name: golden.weight(name, shape) for name, shape in learner.shapes().items()})
    batch, before = training_batch(batch_of(0, 0)), learner.weights()
    assert learner.train_step(batch, 0.1) == {"mask": 0.0}
    after = learner.weights()
    for name in learner.trainable():
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)


def test_a_loss_that_is_not_finite_changes_nothing(wing):
    learner = wing("learner").Learner(SETTINGS, "cpu", training=True)
    learner.load_weights({name: golden.weight(name, shape) for name, shape in learner.shapes().items()})
    batch, before = training_batch(batch_of(2, 1)), learner.weights()
    image = batch["image"].copy()
    image[0] = np.inf
    assert not all(map(np.isfinite, learner.train_step(batch | {"image": image}, 0.1).values()))
    for name, value in learner.weights().items():
        assert np.array_equal(value, before[name]), name


@pytest.mark.slow
@pytest.mark.compiled
def test_training_lowers_the_loss(wing):
    learner = wing("learner").Learner(SETTINGS, "cpu", training=True)
    learner.load_weights({name: golden.weight(name, shape) for name, shape in learner.shapes().items()})
    batch = training_batch(batch_of(2, 1))
    steps = [learner.train_step(batch, 1e-3)["mask"] for _ in range(4)]
    assert steps[-1] < steps[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"skeletons": None}, "there are persons, but no array called skeletons"),
        ({"grid": np.zeros((2, 8, 8, 2), np.float32)}, r"grid has the shape \(2, 8, 8, 2\), not \(2, \d+, \d+, 2\)"),
        ({"person_image": np.int32([0, 1])}, "person_image is an image's index, from 0 to 0"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(learner, changes, message):
    inputs = {name: value for name, value in (batch_of(2) | changes).items() if value is not None}
    with pytest.raises(UserError, match=message):
        learner.trace(inputs)
