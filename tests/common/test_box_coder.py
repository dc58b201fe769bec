"""Offsets and boxes against the three families' answers; encoding undoes decoding."""

import numpy as np
import pytest

from common.box_coder import decode, decode_centres, encode, encode_centres
from common.boxes import to_centres, to_corners
from common.families.mask_rcnn.anchors import pyramid_anchors
from tests.common.rcnn_cases import RULES, STRIDES, arrays, close
from tests.common.test_anchors import GRIDS, RATIOS, SIZES

OFFSETS = {"mb": 1.0, "tv": 0.0, "d2": 0.0}
ROI_WEIGHTS, RPN_WEIGHTS = (10.0, 10.0, 5.0, 5.0), (1.0, 1.0, 1.0, 1.0)


@pytest.mark.parametrize("prefix", RULES)
def test_decoding_of_rois_is_the_familys(prefix):
    inputs = arrays("roi_heads_inference")
    # detectron2 has no box for the background.
    deltas = inputs["in.box_deltas"][:, 4:] if prefix == "d2" else inputs["in.box_deltas"]
    boxes = decode(deltas, inputs["in.proposals"], ROI_WEIGHTS, OFFSETS[prefix])
    shape = (len(boxes), -1, 4) if prefix == "tv" else boxes.shape
    close(boxes.reshape(shape), "roi_heads_inference", f"{prefix}_decoded")


def test_decoding_of_anchors_is_torchvisions():
    inputs = arrays("rpn_proposals")
    anchors = pyramid_anchors(RULES["tv"], (128, 160), GRIDS, STRIDES, SIZES, RATIOS)
    images = []
    for image in range(2):
        levels = []
        for level, level_anchors in enumerate(anchors):
            deltas = inputs[f"in.deltas_l{level}"][image].reshape(3, 4, *GRIDS[level]).transpose(2, 3, 0, 1)
            levels.append(decode(deltas.reshape(-1, 4), level_anchors, RPN_WEIGHTS))
        images.append(np.concatenate(levels))
    close(np.stack(images), "rpn_proposals", "tv_decoded")


@pytest.mark.parametrize("prefix", RULES)
def test_encoding_is_the_familys(prefix):
    inputs = arrays("rcnn_losses")
    ratios = (0.25, 1.0, 4.0) if prefix == "d2" else RATIOS
    anchors = np.concatenate(pyramid_anchors(RULES[prefix], (128, 160), GRIDS, STRIDES, SIZES, ratios))
    for image in range(2):
        positive = inputs[f"in.{prefix}_rpn_pos_{image}"]
        objects = inputs[f"in.gt_boxes_{image}"][inputs[f"out.{prefix}_rpn_matched_{image}"][positive]]
        targets = encode(objects, anchors[positive], RPN_WEIGHTS, OFFSETS[prefix])
        close(targets, "rcnn_losses", f"{prefix}_rpn_targets_{image}", 1e-4)


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_encoding_undoes_decoding(offset):
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 100, (50, 2))
    anchors = np.concatenate([low, low + rng.uniform(5, 50, (50, 2))], axis=1).astype(np.float32)
    deltas = rng.standard_normal((50, 4)).astype(np.float32)
    boxes = decode(deltas, anchors, ROI_WEIGHTS, offset)
    np.testing.assert_allclose(encode(boxes, anchors, ROI_WEIGHTS, offset), deltas, atol=2e-4)
    centres = to_centres(anchors)
    again = encode_centres(decode_centres(deltas, centres, ROI_WEIGHTS), centres, ROI_WEIGHTS)
    np.testing.assert_allclose(again, deltas, atol=2e-4)


def test_a_box_by_hand():
    anchor = np.array([[10, 20, 30, 60]], np.float32)  # centre 20, 40; sides 20, 40
    deltas = np.array([[1.0, -2.0, 5 * np.log(2), 0.0]], np.float32)  # a tenth of 20; two tenths of 40; twice as wide
    np.testing.assert_allclose(decode(deltas, anchor, ROI_WEIGHTS), [[2, 12, 42, 52]], rtol=1e-6)
    # With +1 the sides are 21 and 41, the centre 20.5, 40.5; x2 is the last pixel inside.
    legacy = decode(deltas, anchor, ROI_WEIGHTS, offset=1.0)
    np.testing.assert_allclose(legacy, [[22.6 - 21, 32.3 - 20.5, 22.6 + 21 - 1, 32.3 + 20.5 - 1]], rtol=1e-6)


def test_a_side_grows_at_most_to_1000_sixteenths_and_shrinks_freely():
    anchor = np.array([[0, 0, 16, 16]], np.float32)
    widest = decode(np.array([[0, 0, 100, -100]], np.float32), anchor, RPN_WEIGHTS)
    np.testing.assert_allclose(widest[0, [0, 2]], [8 - 500, 8 + 500], rtol=1e-5)
    np.testing.assert_allclose(widest[0, [1, 3]], [8, 8])


def test_corners_and_centres():
    boxes = np.array([[2, 4, 8, 5]], np.float32)
    np.testing.assert_array_equal(to_centres(boxes), [[5, 4.5, 6, 1]])
    np.testing.assert_array_equal(to_centres(boxes, 1.0), [[5.5, 5, 7, 2]])
    for offset in (0.0, 1.0):
        np.testing.assert_array_equal(to_corners(to_centres(boxes, offset), offset), boxes)


def test_no_boxes():
    none = np.zeros((0, 4), np.float32)
    assert decode(np.zeros((0, 8), np.float32), none, ROI_WEIGHTS).shape == (0, 8)
    assert encode(none, none, ROI_WEIGHTS).shape == (0, 4)
