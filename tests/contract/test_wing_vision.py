"""resize, grid_sample, roi_align, nms and deform_conv2d: each wing against NumPy, forward and backward."""

import numpy as np
import pytest

from common import numpy_ops
from tests.contract.comparing import assert_agrees, assert_same

RANDOM = np.random.default_rng(3)
IMAGES = RANDOM.standard_normal((2, 3, 5, 6)).astype(np.float32)
# In features of 5 by 6: common ones, partly and wholly outside, of no size, turned inside out, larger than everything,
# and one with samples at -1, 5 and 6 exactly (two a bin, not aligned), the last that count.
ROIS = np.float32(
    [
        [0, 0.7, 0.4, 4.1, 3.3],
        [1, 2.2, 1.1, 3.3, 4.6],
        [0, -2.0, -1.5, 2.6, 2.4],
        [1, 4.1, 3.2, 9.0, 8.0],
        [0, 20.0, 20.0, 30.0, 30.0],
        [0, -9.0, -8.0, -5.0, -3.0],
        [1, 2.3, 1.4, 2.3, 1.4],
        [1, 4.2, 3.9, 1.1, 0.8],
        [0, -1.0, -1.0, 6.0, 5.0],
        [1, -40.0, -40.0, 50.0, 45.0],
        [0, -1.0, -2.0, 7.0, 10.0],
    ]
)
GRID = RANDOM.uniform(-1.3, 1.3, (2, 4, 3, 2)).astype(np.float32)
RULES = [(sampling_ratio, aligned) for sampling_ratio in (0, 2) for aligned in (False, True)]


def resizes(xp, x):
    named = {}
    for size in ((8, 11), (3, 4), (1, 1), (10, 12)):
        named[f"nearest {size}"] = xp.resize(x, size, mode="nearest")
        for corners in (False, True):
            named[f"bilinear {size} {corners}"] = xp.resize(x, size, align_corners=corners)
    return named


def grids(xp, x, grid):
    return {str(corners): xp.grid_sample(x, grid, align_corners=corners) for corners in (False, True)}


def rois(xp, x):
    named = {}
    for sampling_ratio, aligned in RULES:
        boxes = xp.asarray(ROIS * np.float32([1, 2, 2, 2, 2]), x)
        named[f"{sampling_ratio} {aligned}"] = xp.roi_align(x, boxes, (3, 2), 0.5, sampling_ratio, aligned)
    return named


def deform(stride, padding, dilation):
    def case(xp, x, offset, mask, weight, bias):
        out = xp.deform_conv2d(x, offset, mask, weight, bias, stride, padding, dilation)
        return {"modulated": out}

    return case


def deform_arrays(stride, padding, dilation):
    high, wide = ((side + 2 * padding - 2 * dilation - 1) // stride + 1 for side in IMAGES.shape[2:])
    random = np.random.default_rng(4)
    offset = random.uniform(-2, 2, (2, 18, high, wide))
    # Finite differences and a bilinear weight's kink do not go together.
    offset = np.where(np.abs(offset - np.round(offset)) < 0.05, offset + 0.1, offset)
    mask, weight = random.random((2, 9, high, wide)), random.standard_normal((4, 3, 3, 3)) / 5
    return [a.astype(np.float32) for a in (IMAGES, offset, mask, weight, random.standard_normal(4))]


def test_resize(xp, like):
    assert_agrees(xp, like, resizes, IMAGES)
    answer = xp.resize(xp.zeros((0, 3, 5, 6), like), (10, 12))
    assert_same(xp, answer, np.zeros((0, 3, 10, 12), np.float32), "of no images")


def test_grid_sample(xp, like):
    assert_agrees(xp, like, grids, IMAGES, GRID, slack=2e-4)
    assert_agrees(xp, like, grids, IMAGES[1:], GRID, slack=2e-4)  # of one image
    answer = xp.grid_sample(xp.zeros((0, 3, 5, 6), like), xp.zeros((0, 4, 3, 2), like))
    assert_same(xp, answer, np.zeros((0, 3, 4, 3), np.float32), "of no images")


def test_grid_points_that_are_nowhere_read_nothing(xp, like):
    """Many points, more than are worked on at a time; the last few are far outside."""
    grid = RANDOM.uniform(-1.3, 1.3, (2, 19, 31, 2)).astype(np.float32)
    grid[:, -1, -4:] = [[1e30, 0], [0, -1e30], [3, 3], [-1.5, 0]]
    assert_agrees(xp, like, lambda ops, x: {"": ops.grid_sample(x, ops.asarray(grid, x), True)}, IMAGES)


def test_roi_align(xp, like):
    assert_agrees(xp, like, rois, IMAGES)


def test_roi_align_of_no_rois(xp, like):
    def empty(x):
        return xp.sum(xp.roi_align(x, xp.zeros((0, 5), like), (3, 2), 0.5, 0, True)) + xp.sum(x * 2)

    answer = xp.roi_align(xp.asarray(IMAGES, like), xp.zeros((0, 5), like), (3, 2), 0.5, 2, False)
    assert_same(xp, answer, np.zeros((0, 3, 3, 2), np.float32))
    _, (gradient,) = xp.value_and_grad(empty, xp.asarray(IMAGES, like))
    assert_same(xp, gradient, np.full_like(IMAGES, 2), "gradient")


def test_roi_align_of_wide_features(xp, like):
    """Wider than a vector register; the roi in the last columns, and one that is not finite."""
    images = RANDOM.standard_normal((1, 2, 7, 70)).astype(np.float32)
    boxes = np.float32([[0, 60, 1, 69, 6], [0, 3, 1, 68, 6], [0, np.nan, 1, 5, 5], [0, 0, 0, np.inf, 5]])

    def case(ops, x):
        return {"pooled": ops.roi_align(x, ops.asarray(boxes, x), (3, 2), 1.0, 0, True)}

    assert_agrees(xp, like, case, images)


@pytest.mark.parametrize("offset", [0.0, 1.0])
@pytest.mark.parametrize("whole", [False, True])
def test_nms(xp, like, whole, offset):
    """Whole coordinates make scores, boxes and IoUs tie with each other and with the threshold."""
    random = np.random.default_rng(5)
    for count in (700, 40, 2, 1, 0):
        corners, sides = random.uniform(0, 80, (count, 2)), random.uniform(-4, 40, (count, 2))
        boxes = np.concatenate([corners, corners + sides], 1)
        scores = random.random(count)
        if whole:
            boxes, scores = np.round(boxes / 5) * 5, np.round(scores * 20) / 20
        boxes, scores = boxes.astype(np.float32), scores.astype(np.float32)
        classes = random.integers(0, 3, count).astype(np.int32)
        given = xp.asarray(boxes.reshape(-1, 4), like), xp.asarray(scores, like)
        for threshold in (0.5, 0.3):
            reference = numpy_ops.nms(boxes, scores, threshold, None, offset)
            assert_same(xp, xp.nms(*given, threshold, offset=offset), reference, f"{count} boxes")
            reference = numpy_ops.nms(boxes, scores, threshold, classes, offset)
            kept = xp.nms(*given, threshold, xp.asarray(classes, like), offset)
            assert_same(xp, kept, reference, f"{count} boxes in classes")


def test_nms_of_odd_boxes(xp, like):
    boxes = np.float32(
        [[0, 0, 10, 10], [10, 10, 0, 0], [5, 5, 5, 5], [5, 5, 5, 5], [0, 0, np.inf, 10], [np.nan, 0, 10, 10]]
    )
    boxes = np.concatenate([boxes, boxes])
    scores = np.linspace(1, 0, len(boxes), dtype=np.float32)
    kept = xp.nms(xp.asarray(boxes, like), xp.asarray(scores, like), 0.5)
    # Only the proper box suppresses its double; what has no area, or no finite one, meets nobody.
    assert_same(xp, kept, np.int32([0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11]))


def test_nms_at_the_threshold(xp, like):
    """IoUs that are the threshold, and those next to it in float32, in units of the last place."""
    for threshold in (0.3, 0.5, 0.7):
        height = np.float32(threshold) * np.float32(1000)
        for steps, count in ((-2, 2), (-1, 2), (0, 2), (2, 1), (900, 1)):
            lower = height + steps * np.spacing(height)
            boxes = np.float32([[0, 0, 1000, 1000], [0, 0, 1000, lower]])
            kept = xp.nms(xp.asarray(boxes, like), xp.asarray([0.9, 0.8], like), threshold)
            assert_same(xp, kept, np.arange(count, dtype=np.int32), f"{threshold} and {steps}")


@pytest.mark.parametrize("rule", [(1, 1, 1), (2, 1, 1), (1, 2, 2)], ids=["plain", "stride 2", "dilation 2"])
def test_deform_conv2d(xp, like, rule):
    arrays = deform_arrays(*rule)
    assert_agrees(xp, like, deform(*rule), *arrays)


def test_deform_conv2d_without_a_mask(xp, like):
    images, offset, _, weight, _ = deform_arrays(1, 1, 1)

    def case(ops, x, offset, weight):
        return {"plain": ops.deform_conv2d(x, offset, None, weight, None, 1, 1, 1)}

    assert_agrees(xp, like, case, images, offset, weight)
