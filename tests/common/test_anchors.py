"""Anchors against the three families' own, and against numbers worked out by hand."""

import numpy as np
import pytest

from common.families.mask_rcnn.anchors import cell_anchors, grid_anchors, inside_image, pyramid_anchors
from tests.common.rcnn_cases import RULES, STRIDES, arrays, close

GRIDS = [(32, 40), (16, 20), (8, 10), (4, 5), (2, 3)]
SIZES = [(32,), (64,), (128,), (256,), (512,)]
RATIOS = (0.5, 1.0, 2.0)


@pytest.mark.parametrize("prefix", RULES)
def test_pyramid_anchors_are_the_familys(prefix):
    levels = pyramid_anchors(RULES[prefix], (128, 160), GRIDS, STRIDES, SIZES, RATIOS)
    assert [len(level) for level in levels] == [3 * h * w for h, w in GRIDS]
    close(np.concatenate(levels), "rpn_proposals", f"{prefix}_anchors", 1e-7)


@pytest.mark.parametrize("prefix", ["mb", "d2"])
def test_fifteen_anchors_a_cell_are_the_familys(prefix):
    cell = cell_anchors(RULES[prefix], 16, (32, 64, 128, 256, 512), RATIOS)
    close(grid_anchors(cell, (8, 10), (16, 16)), "rpn_proposals", f"{prefix}_c4_anchors", 1e-7)


def test_cells_by_hand():
    # The anchors of Faster R-CNN's first publication: stride 16, ratio 1/2, sizes 128 and 256.
    legacy = cell_anchors(RULES["mb"], 16, (128, 256), (0.5,))
    np.testing.assert_array_equal(legacy, [[-84, -40, 99, 55], [-176, -88, 191, 103]])
    # 32 / sqrt(2) = 22.63 and 32 * sqrt(2) = 45.25, halved
    np.testing.assert_array_equal(cell_anchors(RULES["tv"], 4, (32,), (2.0,)), [[-11, -23, 11, 23]])
    exact = cell_anchors(RULES["d2"], 4, (32,), (2.0,))
    np.testing.assert_allclose(exact, [[-11.3137, -22.6274, 11.3137, 22.6274]], atol=1e-4)


def test_columns_run_before_rows():
    cells = grid_anchors(np.array([[0, 0, 1, 1]], np.float32), (2, 3), (10, 20))
    np.testing.assert_array_equal(cells[:, :2], [[0, 0], [20, 0], [40, 0], [0, 10], [20, 10], [40, 10]])


def test_anchors_that_leave_the_image():
    anchors = np.array([[0, 0, 9, 4], [-1, 0, 5, 4], [0, 0, 10, 4], [0, 0, 9, 5], [2, -0.5, 5, 4]], np.float32)
    np.testing.assert_array_equal(inside_image(anchors, (5, 10)), [True, False, False, False, False])
    # Those that maskrcnn-benchmark does not ignore lie in the image.
    reference = arrays("rcnn_losses")
    anchors = np.concatenate(pyramid_anchors(RULES["mb"], (128, 160), GRIDS, STRIDES, SIZES, RATIOS))
    for image, size in enumerate(reference["in.image_sizes"]):
        used = reference[f"out.mb_rpn_labels_{image}"] >= 0
        assert inside_image(anchors, tuple(size))[used].all()
