"""YOLACT's exact NMS against the original's own, on boxes of which some overlap by exactly the threshold."""

import numpy as np

from common.families.yolact.detection import _exact_nms
from common.models import load_settings

SIZE = 512  # a power of two, so that boxes relative to it are exact
BOXES = np.float32(
    [
        [0, 0, 9, 9], [0, 0, 9, 19], [100, 100, 119, 109], [100, 100, 109, 109], [50, 50, 69, 69], [50, 50, 69, 89],
        [32, 3, 60, 7], [7, 9, 12, 38], [7, 32, 35, 43], [34, 23, 41, 35], [1, 3, 6, 30], [13, 17, 34, 36],
        [24, 19, 34, 35], [10, 6, 18, 30], [27, 29, 43, 33], [1, 4, 11, 26], [18, 15, 35, 28], [35, 20, 45, 26],
        [16, 17, 35, 38], [26, 23, 43, 51], [6, 29, 34, 38], [30, 38, 49, 58], [31, 11, 41, 22], [12, 25, 28, 48],
        [26, 27, 37, 49], [34, 11, 54, 20],
    ]
)  # fmt: skip
SCORES = [29, 31, 21, 19, 10, 32, 15, 18, 28, 11, 23, 26, 12, 35, 24, 20, 30, 33, 16, 14, 25, 17, 13, 27, 34, 22]
# What the original's function keeps at 0.5. The first three pairs overlap by exactly that: one of each goes.
KEPT = [1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 20, 21, 22, 23, 24, 25]


def test_an_overlap_of_exactly_the_threshold_suppresses(xp, like):
    settings = load_settings("yolact_tiny", [f"preprocessing.size={SIZE}", "detection.nms=exact"])
    scores = np.float32(SCORES) / 64
    rows, labels, values = _exact_nms(BOXES / SIZE, scores[None], settings, like=like)
    assert sorted(rows.tolist()) == KEPT
    np.testing.assert_array_equal(values, np.sort(scores[KEPT])[::-1])
    np.testing.assert_array_equal(labels, 0)
