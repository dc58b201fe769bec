"""Areas, overlaps and clipping against plain loops, in both counts of a side."""

import numpy as np
import pytest

from common.boxes import area, clip, pairwise_ioa, pairwise_iou


def _boxes(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 20, (count, 2))
    return np.concatenate([low, low + rng.integers(0, 10, (count, 2))], axis=1).astype(np.float32)


def _overlap(a: np.ndarray, b: np.ndarray, offset: float) -> float:
    width = max(min(a[2], b[2]) - max(a[0], b[0]) + offset, 0)
    return width * max(min(a[3], b[3]) - max(a[1], b[1]) + offset, 0)


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_overlaps_are_those_of_plain_loops(offset):
    a, b = _boxes(9, 0), _boxes(7, 1)
    sizes = [[(box[2] - box[0] + offset) * (box[3] - box[1] + offset) for box in boxes] for boxes in (a, b)]
    np.testing.assert_allclose(area(a, offset), sizes[0])
    found = pairwise_iou(a, b, offset)
    for i in range(9):
        for j in range(7):
            shared = _overlap(a[i], b[j], offset)
            union = sizes[0][i] + sizes[1][j] - shared
            np.testing.assert_allclose(found[i, j], shared / union if union else 0, rtol=1e-6)


def test_whole_pixels_share_a_border_line():
    a, b = np.array([[0, 0, 4, 4]], np.float32), np.array([[4, 0, 8, 4]], np.float32)
    assert pairwise_iou(a, b)[0, 0] == 0
    np.testing.assert_allclose(pairwise_iou(a, b, 1.0)[0, 0], 5 / 45)


def test_boxes_without_area():
    point = np.array([[3, 3, 3, 3]], np.float32)
    assert pairwise_iou(point, point)[0, 0] == 0
    assert pairwise_iou(point, np.array([[0, 0, 9, 9]], np.float32))[0, 0] == 0
    assert pairwise_iou(np.zeros((0, 4), np.float32), point).shape == (0, 1)


def test_share_of_the_first_ones_area():
    small, large = np.array([[2, 2, 4, 4]], np.float32), np.array([[0, 0, 4, 3]], np.float32)
    np.testing.assert_allclose(pairwise_ioa(small, large), [[0.5]])
    np.testing.assert_allclose(pairwise_ioa(large, small), [[2 / 12]])


def test_overlaps_of_many_sets_at_once():
    a, b = _boxes(8, 2).reshape(2, 4, 4), _boxes(6, 3).reshape(2, 3, 4)
    found = pairwise_iou(a, b)
    assert found.shape == (2, 4, 3)
    for i in range(2):
        np.testing.assert_array_equal(found[i], pairwise_iou(a[i], b[i]))


def test_clipping_to_the_image():
    boxes = np.array([[-5, 3, 12, 30], [50, 50, 60, 60]], np.float32)
    np.testing.assert_array_equal(clip(boxes, (20, 10)), [[0, 3, 10, 20], [10, 20, 10, 20]])
    np.testing.assert_array_equal(clip(boxes, (20, 10), 1.0), [[0, 3, 9, 19], [9, 19, 9, 19]])
