"""What is shown of what was found, against what the originals show."""

import numpy as np
import pytest

from common.boxes import with_border
from common.results import INSTANCES, Instances
from common.results.instances import coco_entries

# YOLACT++'s `prep_display` on these detections, the class of each and what it writes beside it, the best first.
SCORES = [0.989, 0.895, 0.85, 0.809, 0.718, 0.67, 0.542, 0.532, 0.508, 0.407, 0.402, 0.284, 0.277, 0.267]
LABELS = [3, 6, 36, 28, 18, 76, 21, 9, 17, 64, 73, 8, 71, 36]
MASK_IOU = [0.429, 0.454, 0.786, 0.468, 0.67, 0.914, 0.769, 0.387, 0.631, 0.928, 0.265, 0.201, 0.512, 0.313]
SHOWN = [(36, 0.67), (76, 0.61), (18, 0.48), (3, 0.42), (21, 0.42), (6, 0.41), (28, 0.38), (64, 0.38), (17, 0.32)]
THRESHOLD = 0.3


def found(scores, labels, mask_scores=None):
    count = len(scores)
    boxes, masks = np.zeros((count, 4), np.float32), np.zeros((count, 4, 5), bool)
    return Instances((4, 5), boxes, np.float32(scores), np.array(labels), masks, mask_scores)


@pytest.mark.parametrize("top_k", [8, 20])
def test_masks_rated_apart_are_shown_by_their_scores(top_k):
    scores = np.float32(SCORES)
    confident = scores > THRESHOLD  # as the network's own part has it
    everything = found(scores, LABELS, scores * np.float32(MASK_IOU))[confident]
    shown = everything.ranked(THRESHOLD, top_k)
    pairs = [(label, round(float(score), 2)) for label, score in zip(shown.labels, shown.scores, strict=True)]
    assert pairs == SHOWN[:top_k]
    assert shown.mask_scores is None
    # Evaluation goes by each kind's own.
    (box,), (mask,) = (coco_entries(1, everything[2:3], range(80), kind) for kind in ("box", "mask"))
    assert (round(box["score"], 3), round(mask["score"], 3)) == (0.85, 0.668)


def test_others_are_shown_as_they_come():
    given = found([0.2, 0.9, 0.5], [0, 1, 2])
    np.testing.assert_array_equal(given.ranked(0.3, 2).labels, [0, 1])


@pytest.mark.parametrize(("offset", "end"), [(1.0, (21, 28)), (0.0, (20, 27))])
def test_a_drawn_box_ends_at_its_last_pixel(offset, end):
    """maskrcnn-benchmark, whose offset is 1, draws the corners of its boxes, which are the first and the last pixel."""
    boxes = with_border(np.float32([[10, 20, 21, 28]]), offset)
    given = Instances((60, 80), boxes, np.float32([0.5]), np.array([0]), np.zeros((1, 60, 80), bool))
    drawn = INSTANCES.draw(np.zeros((60, 80, 3), np.uint8), given, ["x"])
    coloured = (drawn != 0).any(axis=2)
    assert coloured[24].nonzero()[0][-1] - end[0] in (0, 1)  # lines are two pixels wide
    assert coloured[:, 12].nonzero()[0][-1] - end[1] in (0, 1)
