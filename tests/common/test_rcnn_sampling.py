"""The sampling of anchors and regions, against plain loops and with proposals that come and go beside others."""

import numpy as np
import pytest

from common.box_coder import decode
from common.boxes import pairwise_iou
from common.families.mask_rcnn.geometry import make_anchors
from common.families.mask_rcnn.proposals import Proposals
from common.families.mask_rcnn.sampling import make_anchor_targets, sample_regions
from common.models import load_settings

PADDED, SIZE = (96, 128), (90, 120)
BOXES = np.array([[10, 12, 60, 70], [50, 30, 110, 88]], np.float32)


def settings(*overrides):
    small = ["rpn.anchor_sizes=[[8],[16],[32],[48],[64]]", "losses.anchors_per_image=64", "losses.regions_per_image=16"]
    return load_settings("mask_rcnn_r50_fpn_detectron2", [*small, *overrides])


def all_anchors(chosen):
    grids = [(24, 32), (12, 16), (6, 8), (3, 4), (2, 2)]
    return np.concatenate(make_anchors(chosen, PADDED, grids))


def proposals(count, seed=0):
    """Some near the objects, the others anywhere; of anchors in no order."""
    rng = np.random.default_rng(seed)
    corner, side = rng.uniform(0, 80, (count, 2)), rng.uniform(8, 40, (count, 2))
    boxes = np.concatenate([corner, corner + side], axis=1)
    near = slice(0, count // 2)
    boxes[near] = BOXES[rng.integers(0, 2, count // 2)] + rng.uniform(-4, 4, (count // 2, 4))
    order = rng.permutation(count)
    return Proposals(boxes[order].astype(np.float32), rng.uniform(size=count), rng.permutation(5000)[:count])


def test_anchors_that_train():
    chosen = settings()
    anchors = all_anchors(chosen)
    overlaps = pairwise_iou(BOXES, anchors)
    found = make_anchor_targets(BOXES, SIZE, PADDED, chosen, seed=3)
    rows, labels = found["anchor_rows"], found["anchor_labels"]
    assert rows.shape == labels.shape == (64,) and found["anchor_targets"].shape == (64, 4)
    best = overlaps.max(axis=0)
    can = (best >= 0.7) | (overlaps == overlaps.max(axis=1, keepdims=True)).any(axis=0)
    positive, negative = rows[labels == 1], rows[labels == 0]
    assert set(positive) == set(np.flatnonzero(can)) and 0 < len(positive) < 32
    assert len(positive) + len(negative) == len(set(rows)) == 64
    assert (best[negative] < 0.3).all()
    reached = decode(found["anchor_targets"], anchors[rows], (1.0, 1.0, 1.0, 1.0))[labels == 1]
    np.testing.assert_allclose(reached, BOXES[overlaps[:, positive].argmax(axis=0)], atol=1e-3)
    assert not found["anchor_targets"][labels != 1].any()


def test_too_few_anchors_are_filled_up():
    chosen = settings("losses.anchors_per_image=6000")
    found = make_anchor_targets(BOXES, SIZE, PADDED, chosen, seed=3)
    used = found["anchor_labels"] >= 0
    assert 0 < used.sum() < len(all_anchors(chosen)) and used[: used.sum()].all()


def test_another_seed_draws_other_anchors():
    draws = [make_anchor_targets(BOXES, SIZE, PADDED, settings(), seed)["anchor_rows"] for seed in (1, 2, 1)]
    assert set(draws[0]) != set(draws[1]) and np.array_equal(draws[0], draws[2])


def test_regions_that_train():
    chosen, given = settings(), proposals(100)
    box_labels = np.array([7, 3], np.int32)
    found = sample_regions(given, BOXES, box_labels, chosen, seed=9)
    assert len(found.boxes) == len(found.labels) == len(found.targets) == 16
    assert len(found.objects) == 4  # a quarter
    overlaps = pairwise_iou(BOXES, found.boxes)
    assert (overlaps[:, :4].max(axis=0) >= 0.5).all() and (overlaps[:, 4:].max(axis=0) < 0.5).all()
    assert np.array_equal(found.objects, overlaps[:, :4].argmax(axis=0))
    assert np.array_equal(found.labels, [*box_labels[found.objects], *[chosen.num_classes] * 12])
    reached = decode(found.targets[:4], found.boxes[:4], (10.0, 10.0, 5.0, 5.0))
    np.testing.assert_allclose(reached, BOXES[found.objects], atol=1e-3)
    assert not found.targets[4:].any()


def test_the_objects_own_boxes_are_regions():
    none = Proposals(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))
    found = sample_regions(none, BOXES, np.array([7, 3]), settings(), seed=9)
    assert np.array_equal(found.boxes, BOXES) and np.array_equal(found.objects, [0, 1]) and not found.targets.any()
    found = sample_regions(none, BOXES[:0], np.zeros(0, np.int32), settings(), seed=9)
    assert found.boxes.shape == (0, 4) and found.labels.shape == found.objects.shape == (0,)


@pytest.mark.parametrize("extra", [0, 37, 100])
def test_one_proposal_more_or_less_leaves_the_others_as_they_were_drawn(extra):
    given, chosen = proposals(101), settings()
    box_labels = np.array([7, 3], np.int32)
    before = sample_regions(given, BOXES, box_labels, chosen, seed=9)
    keep = np.arange(101) != extra
    fewer = Proposals(given.boxes[keep], given.scores[keep], given.rows[keep])
    after = sample_regions(fewer, BOXES, box_labels, chosen, seed=9)
    gone = {tuple(box) for box in before.boxes} - {tuple(box) for box in after.boxes}
    come = {tuple(box) for box in after.boxes} - {tuple(box) for box in before.boxes}
    assert gone <= {tuple(given.boxes[extra])} and len(come) == len(gone)


@pytest.mark.slow
def test_every_region_is_drawn_as_often():
    """Counts the draws among a hundred backgrounds over many seeds."""
    given = proposals(100)
    nothing = np.zeros((0, 4), np.float32)
    counts = dict.fromkeys(map(tuple, given.boxes), 0)
    for seed in range(500):
        for box in sample_regions(given, nothing, np.zeros(0, np.int32), settings(), seed).boxes:
            counts[tuple(box)] += 1
    expected = 500 * 16 / 100
    chi_square = sum((count - expected) ** 2 / expected for count in counts.values())
    assert 50 < chi_square < 160
