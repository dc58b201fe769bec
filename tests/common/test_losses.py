"""The shared losses by their definitions, and the box and class losses of the three families put together from them."""

import numpy as np
import pytest

from common.losses import cross_entropy, smooth_l1
from common.numpy_ops import binary_cross_entropy_with_logits
from tests.common.rcnn_cases import FOLDER, arrays
from tests.common.test_anchors import GRIDS
from tests.goldens import golden

FAMILIES = ("mb", "tv", "d2")
# The border of the quadratic part, for anchors and for rois.
BETAS = {"mb": (1 / 9, 1.0), "tv": (1 / 9, 1 / 9), "d2": (0.0, 0.0)}


def test_smooth_l1_by_hand():
    x = np.array([-2, -1, -0.5, 0, 0.25, 1, 3], np.float32)
    np.testing.assert_allclose(smooth_l1(x), [1.5, 0.5, 0.125, 0, 0.03125, 0.5, 2.5])
    np.testing.assert_allclose(smooth_l1(x, 0.5), [1.75, 0.75, 0.25, 0, 0.0625, 0.75, 2.75])
    np.testing.assert_allclose(smooth_l1(x, 0.0), np.abs(x))


def test_cross_entropy_by_hand():
    logits = np.log(np.array([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]], np.float32)) + 3
    np.testing.assert_allclose(cross_entropy(logits, np.array([0, 2])), -np.log([0.7, 0.5]), rtol=1e-5)
    assert cross_entropy(logits[:0], np.zeros(0, np.int32)).shape == (0,)


def _inputs() -> dict[str, np.ndarray]:
    inputs = golden.manifest(FOLDER / "rcnn_losses")["inputs"]
    return {key: golden.image(i["seed"], i["shape"]) for key, i in inputs.items() if isinstance(i, dict)}


@pytest.mark.parametrize("family", FAMILIES)
def test_rpn_losses_are_the_familys(family):
    x, stored = _inputs(), arrays("rcnn_losses")
    classes, boxes, count = 0.0, 0.0, 0
    for image in range(2):
        logits = np.concatenate([x[f"logits_l{k}"][image].transpose(1, 2, 0).reshape(-1) for k in range(5)])
        deltas = np.concatenate(
            [x[f"deltas_l{k}"][image].reshape(3, 4, *GRIDS[k]).transpose(2, 3, 0, 1).reshape(-1, 4) for k in range(5)]
        )
        positive, negative = (stored[f"in.{family}_rpn_{kind}_{image}"] for kind in ("pos", "neg"))
        sampled = logits[np.concatenate([positive, negative])]
        truth = np.arange(len(sampled)) < len(positive)
        classes += binary_cross_entropy_with_logits(sampled, truth.astype(np.float32)).sum()
        targets = stored[f"out.{family}_rpn_targets_{image}"]
        boxes += smooth_l1(deltas[positive] - targets, BETAS[family][0]).sum()
        count += 256 if family == "d2" else len(sampled)
    reference = stored[f"out.{family}_losses"]
    np.testing.assert_allclose([classes / count, boxes / count], reference[:2], rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_roi_losses_are_the_familys(family):
    x, stored = _inputs(), arrays("rcnn_losses")
    labels = stored[f"out.{family}_roi_labels"]
    rows = len(labels)
    logits, deltas = x["class_logits"][:rows], x["box_deltas"][:rows].reshape(rows, 6, 4)
    if family == "d2":
        logits, deltas = np.roll(logits, -1, axis=1), deltas[:, 1:]
        positive = np.flatnonzero(labels < 5)
    else:
        positive = np.flatnonzero(labels > 0)
    classes = cross_entropy(logits, labels).mean()
    own = deltas[positive, labels[positive]]
    boxes = smooth_l1(own - stored[f"out.{family}_roi_targets"], BETAS[family][1]).sum() / rows
    np.testing.assert_allclose([classes, boxes], stored[f"out.{family}_losses"][2:4], rtol=1e-4)
