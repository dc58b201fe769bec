"""Matching against the originals' labels and plain loops; the balanced sample."""

import numpy as np
import pytest

from common.boxes import pairwise_iou
from common.families.mask_rcnn.anchors import inside_image, pyramid_anchors
from common.families.mask_rcnn.balancing import sample_balanced
from common.families.mask_rcnn.matching import BACKGROUND, BETWEEN, match_by_threshold
from common.families.yolact.matching import claim_best
from tests.common.rcnn_cases import RULES, STRIDES, arrays
from tests.common.test_anchors import GRIDS, RATIOS, SIZES
from tests.common.test_box_coder import OFFSETS


@pytest.mark.parametrize("image", [0, 1])
@pytest.mark.parametrize("prefix", RULES)
def test_anchor_labels_are_the_familys(prefix, image):
    inputs = arrays("rcnn_losses")
    ratios = (0.25, 1.0, 4.0) if prefix == "d2" else RATIOS
    anchors = np.concatenate(pyramid_anchors(RULES[prefix], (128, 160), GRIDS, STRIDES, SIZES, ratios))
    overlaps = pairwise_iou(inputs[f"in.gt_boxes_{image}"], anchors, OFFSETS[prefix])
    matched = match_by_threshold(overlaps, 0.3, 0.7, low_quality=True)
    labels = np.where(matched >= 0, 1, np.where(matched == BACKGROUND, 0, -1))
    if prefix == "mb":
        labels[~inside_image(anchors, tuple(inputs["in.image_sizes"][image]))] = -1
    reference = inputs[f"out.{prefix}_rpn_labels_{image}"]
    np.testing.assert_array_equal(labels, reference)
    if prefix == "d2":
        matched = np.where(labels == 1, matched, -1)
    np.testing.assert_array_equal(matched, inputs[f"out.{prefix}_rpn_matched_{image}"])


@pytest.mark.parametrize("image", [0, 1])
@pytest.mark.parametrize("prefix", RULES)
def test_proposal_labels_are_the_familys(prefix, image):
    inputs = arrays("rcnn_losses")
    objects, labels = inputs[f"in.gt_boxes_{image}"], inputs[f"in.gt_labels_{image}"]
    proposals = np.concatenate([inputs[f"in.proposals_{image}"], objects])
    matched = match_by_threshold(pairwise_iou(objects, proposals, OFFSETS[prefix]), 0.5, 0.5)
    # detectron2 counts the classes from 0 and puts the background behind them.
    found = np.where(matched >= 0, labels[matched] - (prefix == "d2"), 5 if prefix == "d2" else 0)
    np.testing.assert_array_equal(found, inputs[f"out.{prefix}_roi_all_labels_{image}"])


def test_thresholds_and_ties_by_hand():
    overlaps = np.array(
        [
            [0.7, 0.3, 0.29, 0.5, 0.5, 0.0, 0.2],
            [0.6, 0.1, 0.10, 0.5, 0.0, 0.2, 0.2],
            [0.0, 0.0, 0.00, 0.0, 0.0, 0.0, 0.0],
        ],
        np.float32,
    )
    np.testing.assert_array_equal(
        match_by_threshold(overlaps, 0.3, 0.7), [0, BETWEEN, BACKGROUND, BETWEEN, BETWEEN, BACKGROUND, BACKGROUND]
    )
    # The second object's best is the first box, which stays with the first object; the third meets no box at all.
    overlaps[1, 6] = 0.6
    np.testing.assert_array_equal(
        match_by_threshold(overlaps, 0.3, 0.7, low_quality=True),
        [0, BETWEEN, BACKGROUND, BETWEEN, BETWEEN, BACKGROUND, 1],
    )


def test_matching_without_objects_or_boxes():
    np.testing.assert_array_equal(match_by_threshold(np.zeros((0, 3), np.float32), 0.3, 0.7), [BACKGROUND] * 3)
    assert match_by_threshold(np.zeros((2, 0), np.float32), 0.3, 0.7).shape == (0,)


@pytest.mark.parametrize("levels", [3, 1000])
def test_claims_are_those_of_the_plain_rule(levels):
    rng = np.random.default_rng(levels)
    overlaps = rng.integers(0, levels, (12, 40)).astype(np.float32) / levels
    expected, left = [], overlaps.copy()
    for _ in range(12):
        place = int(left.argmax())  # row by row, so of equals the first object, and of its equals the first prior
        expected.append(divmod(place, 40))
        left[expected[-1][0]], left[:, expected[-1][1]] = -1, -1
    objects, priors = claim_best(overlaps)
    assert list(zip(objects, priors, strict=True)) == expected
    assert len(set(priors)) == 12


def test_sample_takes_the_smallest_keys_and_fills_up_with_negatives():
    labels = np.array([0, 1, 2, -1, 0, 1, 0, 0])
    keys = np.array([0.9, 0.5, 0.1, 0.0, 0.2, 0.4, 0.2, 0.3])
    positives, negatives = sample_balanced(labels, keys, count=4, positive_share=0.5)
    np.testing.assert_array_equal(positives, [2, 5])
    np.testing.assert_array_equal(negatives, [4, 6])
    positives, negatives = sample_balanced(labels, keys, count=6, positive_share=0.2)
    np.testing.assert_array_equal(positives, [2])
    np.testing.assert_array_equal(negatives, [0, 4, 6, 7])


def test_sample_of_nothing():
    positives, negatives = sample_balanced(np.full(3, -1), np.zeros(3), 256, 0.5)
    assert len(positives) == 0 and len(negatives) == 0


def test_samples_differ_with_their_keys_and_are_uniform():
    labels = np.ones(10, np.int64)
    counts = np.zeros(10)
    rng = np.random.default_rng(0)
    for _ in range(2000):
        counts[sample_balanced(labels, rng.random(10), 6, 0.5)[0]] += 1
    np.testing.assert_allclose(counts / 2000, 0.3, atol=0.05)


def test_sample_of_equal_keys_takes_the_first():
    rng = np.random.default_rng(1)
    for _ in range(200):
        labels, keys = rng.integers(-1, 2, 30), rng.integers(0, 6, 30)
        count, share = int(rng.integers(0, 20)), float(rng.random())
        positives = sorted(np.flatnonzero(labels > 0), key=lambda row, keys=keys: (keys[row], row))[
            : int(count * share)
        ]
        negatives = sorted(np.flatnonzero(labels == 0), key=lambda row, keys=keys: (keys[row], row))[
            : count - len(positives)
        ]
        chosen = sample_balanced(labels, keys, count, share)
        assert [group.tolist() for group in chosen] == [sorted(positives), sorted(negatives)]
