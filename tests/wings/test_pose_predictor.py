"""Pose2Seg from Python: an image and its persons' key points in, its persons out."""

import numpy as np
import pytest

from common.errors import UserError
from common.families.pose2seg import samples as pose2seg_samples
from common.models import load_settings
from common.weights import Card, save
from common.wing import open_model
from tests.goldens import golden

IMAGE = np.random.RandomState(0).randint(0, 255, (90, 120, 3), np.uint8)
# Two persons, 17 points each over a part of the image.
POINTS = np.concatenate([np.random.RandomState(1).uniform(10, 80, (2, 17, 2)), np.full((2, 17, 1), 2.0)], axis=-1)


@pytest.fixture(scope="module")
def weights(wing, tmp_path_factory):
    settings = load_settings("pose2seg_tiny")
    shapes = wing("learner").Learner(settings, "cpu").shapes()
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    preprocessing = settings.preprocessing
    card = Card(
        model="pose2seg_tiny", source="a test", licence="none", preprocessing=preprocessing, classes=("person",)
    )
    drawn = {name: golden.weight(name, shape) for name, shape in shapes.items()}
    drawn["segnet.pred_small.bias"] += np.float32([0.0, 0.84])  # about half of the cells are a person's
    save(path, drawn, card)
    return path


@pytest.fixture(scope="module")
def predictor(weights, wing):
    return wing("predictor").Predictor(None, weights, device="cpu")


def test_persons_are_found_in_the_order_of_their_key_points(predictor, weights):
    found = predictor.predict(IMAGE, POINTS)
    assert len(found) == 2 and found.image_size == (90, 120) and found.scores.tolist() == [1, 1]
    learner, settings, _ = open_model(predictor.wing, "pose2seg_tiny", weights, [], "cpu")
    sample = pose2seg_samples.prepare(IMAGE, settings) | pose2seg_samples.make_prompt(POINTS)
    (expected,) = learner.predict(pose2seg_samples.join([sample], settings))
    assert found.masks.any()
    np.testing.assert_array_equal(found.masks, expected.masks)
    turned = predictor.predict(IMAGE, POINTS[::-1])
    assert (turned.masks != found.masks[::-1]).mean() < 0.001
    assert len(predictor.predict(IMAGE, np.zeros((0, 17, 3)))) == 0
    drawn = predictor.run(IMAGE, POINTS)[1]
    np.testing.assert_array_equal(predictor.run_on_opencv_image(IMAGE[..., ::-1], POINTS), drawn[..., ::-1])


@pytest.mark.parametrize(
    ("keypoints", "line"),
    [
        (None, r"pose2seg_tiny needs the persons' key points, \(K, 17, 3\); none are given"),
        (POINTS[0], r"not \(17, 3\)"),
        (POINTS[..., :2], r"not \(2, 17, 2\)"),
        (np.where(POINTS == 2, np.nan, POINTS), "must be finite"),
    ],
)
def test_key_points_that_do_not_serve_are_refused(keypoints, line, predictor):
    with pytest.raises(UserError, match=line):
        predictor.predict(IMAGE, keypoints)
