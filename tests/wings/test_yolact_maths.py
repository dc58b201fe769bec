"""YOLACT's losses and detection on each framework's arrays, where the golden cases do not reach."""

import numpy as np
import pytest

from common.families.yolact.detection import select
from common.families.yolact.losses import compute_losses
from common.families.yolact.targets import collate, make_targets
from common.models import load_settings
from tests.common.test_yolact import crowded_predictions


@pytest.mark.parametrize("nms", ["fast", "cross_class", "exact"])
def test_detection_is_that_of_numpy(xp, like, nms):
    rules = [f"detection.nms={nms}", "detection.top_k=20", "detection.max_detections=25"]
    for threshold in (0.3, 0.9, 1.0):  # many candidates, a few, none
        settings = load_settings("yolact_tiny", [*rules, f"detection.score_threshold={threshold}"])
        *outputs, priors = crowded_predictions(seed=5)
        expected = select(*outputs, priors, settings)
        found = select(*(xp.asarray(array, like) for array in outputs), priors, settings)
        np.testing.assert_array_equal(found.labels, expected.labels)
        np.testing.assert_array_equal(found.scores, expected.scores)
        np.testing.assert_array_equal(found.coefficients, expected.coefficients)
        np.testing.assert_allclose(found.boxes, expected.boxes, rtol=1e-5, atol=1e-6)


def test_equal_scores_come_in_the_order_of_class_and_prior(xp, like):
    settings = load_settings("yolact_tiny")
    priors = np.array([[0.2, 0.2, 0.1, 0.1], [0.7, 0.7, 0.1, 0.1]], np.float32)
    arrays = np.zeros((2, 4), np.float32), np.full((2, 5), 0.2, np.float32), np.arange(2, dtype=np.float32)[:, None]
    found = select(*(xp.asarray(array, like) for array in arrays), priors, settings)
    np.testing.assert_array_equal(found.labels, [0, 0, 1, 1, 2, 2, 3, 3])
    np.testing.assert_array_equal(found.coefficients[:, 0], [0, 1] * 4)


def test_an_image_without_objects_moves_the_semantic_branch_alone(xp, like):
    settings = load_settings("yolact_tiny")
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool), np.zeros((0, 128, 128), bool)
    sample = make_targets(*nothing, settings, np.random.default_rng(0))
    batch = {name: xp.asarray(value, like) for name, value in collate([sample, sample]).items()}
    count, grid = len(sample["class_targets"]), sample["semantic"].shape[1]
    rng = np.random.default_rng(1)
    shapes = {"loc": (2, count, 4), "conf": (2, count, 5), "mask": (2, count, 32)}
    shapes |= {"proto": (2, 2 * grid, 2 * grid, 32), "segm": (2, 4, grid, grid)}
    values = [xp.asarray(rng.standard_normal(shape).astype(np.float32), like) for shape in shapes.values()]

    def total(*arrays):
        terms = compute_losses(dict(zip(shapes, arrays, strict=True)), batch, settings)
        return terms["B"] + terms["C"] + terms["M"] + terms["S"]

    value, gradients = xp.value_and_grad(total, *values)
    gradients = dict(zip(shapes, map(xp.to_numpy, gradients), strict=True))
    assert np.isfinite(xp.to_numpy(value)).all()
    logits = xp.to_numpy(values[4]).astype(np.float64)
    np.testing.assert_allclose(gradients.pop("segm"), 1 / (1 + np.exp(-logits)) / grid**2 / 2, rtol=1e-4)
    for name, gradient in gradients.items():
        assert not gradient.any(), name
