"""Pose2Seg's loss against the cross entropy of two classes, written down plainly."""

import numpy as np
import pytest

from common.families.pose2seg.losses import compute_mask_loss
from common.families.pose2seg.settings import SKELETON_CHANNELS
from common.families.pose2seg.skeletons import CHANNELS


def test_the_mean_cross_entropy_of_a_cell():
    random = np.random.default_rng(0)
    logits = (30 * random.standard_normal((3, 2, 4, 4))).astype(np.float32)
    masks = random.integers(0, 2, (3, 4, 4)).astype(np.uint8)
    exact = logits.astype(np.float64)
    shares = exact - np.logaddexp(exact[:, :1], exact[:, 1:])
    chosen = np.take_along_axis(shares, masks[:, None].astype(int), 1)
    persons = np.array(3, np.float32)
    assert compute_mask_loss(logits, masks, persons) == pytest.approx(-chosen.mean(), rel=1e-6)
    assert compute_mask_loss(logits, masks, 2 * persons) == pytest.approx(-chosen.mean() / 2, rel=1e-6)
    assert compute_mask_loss(logits[:0], masks[:0], np.zeros((), np.float32)) == 0


def test_settings_and_skeletons_agree_on_the_channels():
    assert CHANNELS == SKELETON_CHANNELS
