"""Kinds of error and confusions of cases that can be worked by hand."""

import numpy as np
import pytest

from common.evaluation.confusion import count_confusions
from common.evaluation.errors import KINDS, average_precision, count_errors
from common.evaluation.overlaps import find_overlaps, match
from tests.common.evaluation.example import detections, truth


def overlaps(annotated, found, limit=100):
    return list(find_overlaps(annotated, found, "box", limit))


def test_each_kind_of_error_costs_what_it_does_by_hand():
    """Of 101 recalls, 34 are at most 1/3, 33 more at most 2/3, and 34 above; the mean is of two classes.

    Class 0 is right, wrong four times, right: 34 at 1 and 33 at 2/6, which are 45. Class 1 is wrong, right: 34 at 1/2,
    which are 17.
    """
    ap50, errors = count_errors(overlaps(truth(), detections()), classes=2)
    assert ap50 == pytest.approx(100 * (45 + 17) / 202)
    gained = {
        "classification": (34 + 33 * 2 / 5 - 45)
        + (34 + 33 * 2 / 3 - 17),  # one less in class 0, right first in class 1
        "localisation": 34 + 33 * 2 / 3 + 34 * 3 / 6 - 45,
        "both": 34 + 33 * 2 / 5 - 45,
        "duplicate": 34 + 33 * 2 / 5 - 45,
        "background": 34 - 17,
        "missed": 51 / 2 - 17,  # one of two objects
        "false positives": (67 - 45) + (34 - 17),
        "false negatives": (51 + 50 * 2 / 6 - 45) + (101 / 2 - 17),
    }
    assert list(errors) == list(gained) == list(KINDS)
    for name, points in gained.items():
        assert errors[name].cost == pytest.approx(100 * points / 202), name
    assert [each.count for each in errors.values()] == [1, 1, 1, 1, 1, 1, 5, 3]


def test_of_two_that_point_to_an_object_the_better_one_is_mended():
    """The worse one goes, so that it costs nothing; nor does it where the object has been found."""
    before = count_errors(overlaps(truth(), detections()), classes=2)[1]
    after = count_errors(overlaps(truth(), detections((0, 96, 0.1), (0, 5, 0.05))), classes=2)[1]
    assert after["localisation"].count == 3
    assert after["localisation"].cost == pytest.approx(before["localisation"].cost)


def test_what_lies_in_a_crowd_of_its_class_is_no_error():
    before = count_errors(overlaps(truth(), detections()), classes=2)
    inside = detections((0, 720, 0.95))
    assert count_errors(overlaps(truth((0, 700, 50)), inside), classes=2) == before
    assert count_errors(overlaps(truth((1, 700, 50)), inside), classes=2)[1]["background"].count == 2


def test_nothing_found_is_missed_and_nothing_annotated_is_not_rated():
    ap50, errors = count_errors(overlaps(truth(), []), classes=2)
    assert ap50 == 0 and errors["missed"].count == 6 and errors["missed"].cost == 100
    assert np.isnan(count_errors(overlaps(truth() | {"annotations": []}, detections()), classes=2)[0])


def test_average_precision_is_read_at_101_recalls():
    assert average_precision(np.array([0.2, 0.9]), np.array([True, False]), 1) == pytest.approx(1 / 2)
    assert average_precision(np.array([0.9, 0.2]), np.array([True, False]), 2) == pytest.approx(51 / 101)
    assert average_precision(np.zeros(0), np.zeros(0, bool), 3) == 0


def test_confusions_by_hand():
    """Of the last row and column each has what is in vain and what is missed."""
    images = overlaps(truth(), detections())
    assert count_confusions(images, 2, score=0.0).tolist() == [[2, 0, 1], [1, 1, 1], [3, 1, 0]]
    assert count_confusions(images, 2, score=0.5).tolist() == [[1, 0, 2], [1, 0, 2], [3, 0, 0]]


def test_a_detection_of_the_right_class_comes_before_a_better_one_of_another():
    found = [*detections(), *detections((1, 0, 0.99))[-1:]]
    counts = count_confusions(overlaps(truth(), found), 2, score=0.85)
    assert counts.tolist() == [[1, 0, 2], [0, 0, 3], [0, 1, 0]]


def test_a_crowd_is_nothing_to_be_mixed_up_with():
    images = overlaps(truth((0, 700, 50)), detections((0, 720, 0.95), (1, 720, 0.95)))
    assert count_confusions(images, 2, score=0.85).tolist() == [[1, 0, 2], [0, 0, 3], [0, 1, 0]]


def test_the_best_of_each_class_count_up_to_the_limit():
    (image,) = overlaps(truth(), detections(), limit=1)
    assert image.scores.tolist() == [0.9, 0.4] and image.labels.tolist() == [0, 1]


def test_equal_overlaps_go_to_the_last_object():
    assert match(np.array([[0.5, 0.7, 0.7], [0.6, 0.7, 0.4], [0.4, 0.9, 0.9]]), 0.5).tolist() == [2, 1, -1]
