"""Skeletons against the loop over persons, points and limbs."""

import numpy as np
import pytest

from common.families.pose2seg.skeletons import draw_skeletons
from tests.common.pose import per_person


@pytest.mark.parametrize(("size", "sigma", "distance"), [(64, 3.0, 1.0), (32, 1.5, 1.0), (40, 2.0, 2.5)])
def test_many_persons_are_drawn_as_each_by_itself(size: int, sigma: float, distance: float):
    persons = per_person.persons(40, 1.3 * size, np.random.default_rng(0))
    persons[:10] = np.rint(persons[:10])  # limbs along the cells, points upon each other
    persons[10:15, :, :2] -= size
    persons[15, :, :2] = 1e9
    maps = draw_skeletons(persons, size, sigma, distance)
    assert maps.dtype == np.float32
    for drawn, person in zip(maps, persons, strict=True):
        np.testing.assert_allclose(drawn, per_person.skeleton(person, size, sigma, distance), atol=1e-7)


def test_what_is_not_labelled_is_not_drawn():
    person = np.zeros((1, 17, 3), np.float32)
    assert not draw_skeletons(person, 64, 3.0, 1.0).any()
    person[0, 5] = 20, 30, 2
    person[0, 7] = 40, 30, 1
    maps = draw_skeletons(person, 64, 3.0, 1.0)[0]
    drawn = maps.any(axis=(1, 2)).nonzero()[0].tolist()
    assert drawn == [5, 7, 17 + 2 * 8], "two points and, of the limb between them, the x alone"
    assert maps[5, 30, 20] == 1 and maps[7, 30, 40] == -1
    assert maps[33, 30, 19:42].tolist() == [1] * 22 + [0] and not maps[33, 31].any()


def test_no_person_has_no_map():
    assert draw_skeletons(np.zeros((0, 17, 3), np.float32), 64, 3.0, 1.0).shape == (0, 55, 64, 64)
