"""Which persons are told of: those with a score above the threshold, or all where there is none."""

import numpy as np
import pytest

from common.families.pose2seg.prediction import _paste_into_images
from common.models import load_settings


@pytest.mark.parametrize(("threshold", "left"), [(0.0, [0.0, 0.25, 0.5]), (0.25, [0.5]), (0.1, [0.25, 0.5])])
def test_a_score_of_the_threshold_is_not_above_it(threshold, left):
    settings = load_settings("pose2seg")
    inputs = {
        "original_size": np.array([[30, 40]]),
        "person_image": np.zeros(3, np.int32),
        "person_score": np.float32([0.0, 0.25, 0.5]),
        "mask_matrices": np.tile(np.float32([[1, 0, 0], [0, 1, 0]]), (3, 1, 1)),
    }
    (found,) = _paste_into_images(np.ones((3, 64, 64), np.float32), inputs, settings, threshold)
    assert found.scores.tolist() == left and found.masks.all()
