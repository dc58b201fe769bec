"""The kinds of error, by hand: rectangles whose IoU is known."""

import numpy as np
from pycocotools import mask as rle_tools

from benchmarks.report.kinds import Annotated, Found, judge


def rectangle(left: int, right: int) -> dict:
    """The mask of ten rows between two columns, in an image of 20 x 100."""
    pixels = np.zeros((20, 100), np.uint8, order="F")
    pixels[5:15, left:right] = 1
    return rle_tools.encode(pixels)


TRUTH = [Annotated(0, rectangle(0, 20)), Annotated(1, rectangle(30, 50)), Annotated(0, rectangle(60, 90), crowd=True)]


def test_each_kind_of_error_is_told():
    found = [
        Found(0, 0.9, rectangle(0, 18)),
        Found(0, 0.8, rectangle(0, 20)),  # fits better, but scores less
        Found(0, 0.7, rectangle(30, 48)),
        Found(1, 0.6, rectangle(44, 60)),  # IoU 6/30
        Found(0, 0.5, rectangle(65, 70)),
        Found(1, 0.4, rectangle(0, 4)),
        Found(1, 0.3, rectangle(65, 70)),
    ]
    kinds, covered = judge(TRUTH, found)
    assert kinds == ["correct", "duplicate", "wrong class", "badly placed", "crowd", "background", "background"]
    assert covered == [0.9, None, None]


def test_the_first_of_two_that_fit_takes_the_object_and_the_other_one_the_next():
    truth = [Annotated(0, rectangle(0, 20)), Annotated(0, rectangle(4, 24))]  # whose IoU is 16/24
    kinds, covered = judge(truth, [Found(0, 0.9, rectangle(4, 24)), Found(0, 0.8, rectangle(5, 25))])
    assert kinds == ["correct", "correct"] and covered == [0.8, 0.9]


def test_an_overlap_of_exactly_half_covers():
    assert judge(TRUTH[:1], [Found(0, 0.9, rectangle(0, 10))])[0] == ["correct"]
    assert judge(TRUTH[:1], [Found(0, 0.9, rectangle(0, 9))])[0] == ["badly placed"]


def test_without_annotations_everything_is_background():
    assert judge([], [Found(0, 0.9, rectangle(0, 20))]) == (["background"], [])
    assert judge(TRUTH, []) == ([], [None, None, None])
