"""The classes of pixels are rated as detectron2 rates them."""

import numpy as np
import pytest

from common.evaluation.semantic import SemanticAccuracy, join_masks, lines, name_pixels

NAMES = ["sky", "grass", "sand", "water"]


def test_figures_by_hand():
    rated = SemanticAccuracy(4)
    truth = np.array([[0, 0, 0, 0, 1, 1, 4, 4]])  # two pixels are unlabelled
    rated.add(truth, np.array([[0, 0, 0, 1, 1, 2, 3, 0]]))
    figures = rated.figures(NAMES)
    # sky: 3 of 4; grass: 1 of 2 and 1 more; sand and water are never annotated, and count in no mean.
    assert figures["IoU-sky"] == pytest.approx(75) and figures["IoU-grass"] == pytest.approx(100 / 3)
    assert figures["mIoU"] == pytest.approx((75 + 100 / 3) / 2)
    assert figures["fwIoU"] == pytest.approx((75 * 4 + 100 / 3 * 2) / 6)
    assert figures["mACC"] == pytest.approx((75 + 50) / 2) and figures["pACC"] == pytest.approx(400 / 6)
    assert np.isnan([figures["IoU-sand"], figures["ACC-sand"], figures["IoU-water"]]).all()


def test_images_add_up_and_a_pixel_without_a_class_is_missed():
    rated = SemanticAccuracy(4)
    rated.add(np.array([[0, 0]]), np.array([[0, 4]]))
    rated.add(np.array([[0, 1]]), np.array([[0, 1]]))
    figures = rated.figures(NAMES)
    assert figures["IoU-sky"] == pytest.approx(200 / 3) and figures["pACC"] == pytest.approx(75)


def test_nothing_annotated_is_said():
    figures = SemanticAccuracy(4).figures(NAMES)
    assert all(np.isnan(value) for value in figures.values())
    assert lines(figures)[0] == "semantic mIoU (mean IoU of the classes) nothing annotated"


def test_maps_are_made_of_segments_and_of_masks():
    ids = np.array([[0, 70000, 3], [3, 5, 70000]])
    assert name_pixels(ids, {70000: 2, 3: 1}, 9).tolist() == [[9, 2, 1], [1, 9, 2]]
    assert name_pixels(ids, {}, 9).tolist() == [[9] * 3] * 2
    masks = [(2, np.array([[1, 0]], np.uint8)), (0, np.array([[0, 0]], np.uint8))]
    assert join_masks(masks, (1, 2), 4).tolist() == [[2, 4]]
