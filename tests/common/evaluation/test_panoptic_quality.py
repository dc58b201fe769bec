"""Panoptic quality where it is easily wrong, by hand; the golden case holds the rest against the original."""

from types import SimpleNamespace

import numpy as np
import pytest

from common.errors import UserError
from common.evaluation import panoptic_quality
from common.evaluation.panoptic_quality import PanopticQuality, count_pairs


def segment(number, category, area, crowd=False):
    return SimpleNamespace(id=number, category_id=category, area=area, crowd=crowd)


def rate(truth, segments, prediction, categories):
    rated = PanopticQuality([1, 2], "truth.json")
    rated.add(3, np.array([truth]), segments, np.array([prediction]), categories)
    return rated


def counts(rated):
    return rated.found.tolist(), rated.in_vain.tolist(), rated.missed.tolist()


def test_half_an_overlap_is_none_and_void_takes_nothing_away():
    half = rate([5, 5, 5, 6], [segment(5, 1, 3), segment(6, 2, 1)], [8, 8, 0, 8], {8: 1})
    assert counts(half) == ([0, 0], [1, 0], [1, 1])  # 2 of 4 pixels
    void = rate([5, 5, 5, 0], [segment(5, 1, 3)], [8, 8, 0, 8], {8: 1})
    assert counts(void) == ([1, 0], [0, 0], [0, 0]) and void.overlap[0] == pytest.approx(2 / 3)


def test_the_area_of_an_annotation_is_what_it_says():
    told = rate([5, 5, 5, 0], [segment(5, 1, 6)], [8, 8, 8, 0], {8: 1})
    assert counts(told) == ([0, 0], [1, 0], [1, 0])  # 3 of 6 pixels


def test_crowds_excuse_their_own_category():
    crowd = [segment(5, 1, 4, crowd=True)]
    assert counts(rate([5, 5, 5, 5], crowd, [8, 8, 8, 0], {8: 1})) == ([0, 0], [0, 0], [0, 0])
    assert counts(rate([5, 5, 5, 5], crowd, [8, 8, 8, 0], {8: 2})) == ([0, 0], [0, 1], [0, 0])
    # Half on a crowd is not enough; ids that no annotation lists are no void.
    assert counts(rate([5, 5, 9, 9], crowd, [8, 8, 8, 8], {8: 1})) == ([0, 0], [1, 0], [0, 0])
    # Of two crowds the last one counts.
    two = [segment(5, 1, 2, crowd=True), segment(6, 1, 2, crowd=True)]
    assert counts(rate([5, 5, 6, 6], two, [8, 8, 4, 4], {8: 1, 4: 1})) == ([0, 0], [1, 0], [0, 0])


def test_means_are_over_categories_that_occur():
    rated = rate([5, 5, 5, 0], [segment(5, 1, 3)], [8, 8, 0, 0], {8: 1})
    figures = rated.figures(["cat", "sky"], np.array([True, False]))
    assert figures["PQ"] == figures["PQ_th"] == figures["PQ-cat"] == pytest.approx(200 / 3)
    assert (figures["N"], figures["N_th"], figures["N_st"]) == (1, 1, 0)
    assert np.isnan([figures["PQ_st"], figures["PQ-sky"], figures["SQ-sky"], figures["RQ-sky"]]).all()
    assert panoptic_quality.lines(figures)[6] == "panoptic PQ (panoptic quality, stuff) no segments of this kind"
    assert panoptic_quality.summary(figures) == [
        "panoptic:",
        "          |    PQ     SQ     RQ     N",
        "--------------------------------------",
        "All       |  66.7   66.7  100.0     1",
        "Things    |  66.7   66.7  100.0     1",
        "Stuff     |  -1.0   -1.0   -1.0     0",
        "cat       |  66.7   66.7  100.0",
        "sky       |  -1.0   -1.0   -1.0",
    ]


@pytest.mark.parametrize(
    ("prediction", "categories", "line"),
    [
        ([8, 8, 7, 0], {8: 1}, "the prediction of image 3 draws a segment 7 that it does not list"),
        ([8, 8, 8, 0], {8: 1, 4: 2}, "the prediction of image 3 lists a segment 4 that it does not draw"),
        ([8, 8, 8, 0], {8: 3}, "the prediction of image 3 has the category 3, which is not among the annotations'"),
        ([8, 8], {8: 1}, "image 3: the prediction and the annotation are 2x1 and 4x1"),
    ],
)
def test_predictions_that_contradict_themselves_are_refused(prediction, categories, line):
    with pytest.raises(UserError, match=rf"^truth\.json: {line}"):
        rate([5, 5, 5, 0], [segment(5, 1, 3)], prediction, categories)


def test_pairs_are_counted_with_unknown_ids_together():
    first, second = np.array([[0, 3, 3, 16777215, 4]]), np.array([[2, 2, 2, 0, 9]])
    assert count_pairs(first, [3], second, [2]) == {(0, 2): 1, (3, 2): 2, (-1, 0): 1, (-1, -1): 1}
    assert count_pairs(first, [], second, []) == {(0, -1): 1, (-1, -1): 3, (-1, 0): 1}
