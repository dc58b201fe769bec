"""Equal numbers under another shape, and shapes that are no forms of each other."""

import numpy as np
import pytest

from benchmarks.foreign.content import likeness
from benchmarks.foreign.reshaping import AS_IT_IS, forms_between

MAP = np.random.default_rng(0).standard_normal((2, 4, 6, 5)).astype(np.float32)  # (N, H, W, C)
HEADS = np.random.default_rng(1).standard_normal((2, 7, 3, 4)).astype(np.float32)  # (N, T, heads, C)
WINDOWED = MAP.reshape(2, 2, 2, 3, 2, 5).transpose(0, 1, 3, 2, 4, 5).reshape(12, 4, 5)  # of 2 x 2

# (the port's array, the reference's of the same numbers, the form in words)
EQUAL = {
    "unit axes": (MAP.reshape(2, 120, 1, 1), MAP.reshape(2, 120), "unit axes"),
    "channels last": (MAP, MAP.transpose(0, 3, 1, 2), "channels last"),
    "channels first": (MAP.transpose(0, 3, 1, 2), MAP, "channels first"),
    "tokens as a map": (MAP.reshape(2, 24, 5), MAP, "flat tokens as a map"),
    "a map as tokens": (MAP, MAP.reshape(2, 24, 5), "a map as flat tokens"),
    "tokens as channels first": (
        MAP.reshape(2, 24, 5),
        MAP.transpose(0, 3, 1, 2),
        "flat tokens as a map, channels last",
    ),
    "channels first as tokens": (
        MAP.transpose(0, 3, 1, 2),
        MAP.reshape(2, 24, 5),
        "a map as flat tokens, channels first",
    ),
    "tokens before images": (MAP.reshape(2, 24, 5).transpose(1, 0, 2), MAP.reshape(2, 24, 5), "axes in another order"),
    "heads behind tokens": (
        HEADS.transpose(0, 2, 1, 3),
        HEADS.reshape(2, 7, 12),
        "a map as flat tokens, axes in another order",
    ),
    "windows": (WINDOWED, MAP, "windows as a map"),
    "a map as windows": (MAP.transpose(0, 3, 1, 2), WINDOWED, "a map as windows"),
    "a cube": (
        np.arange(128.0).reshape(2, 4, 4, 4),
        np.arange(128.0).reshape(2, 4, 4, 4).transpose(0, 3, 1, 2),
        "channels last",
    ),
}


@pytest.mark.parametrize("case", EQUAL)
def test_equal_numbers_are_brought_to_the_shape(case):
    given, wanted, words = EQUAL[case]
    found = likeness(wanted.reshape(-1), given.reshape(-1), given.shape, wanted.shape)
    assert found.equal and found.form.words == words
    assert np.array_equal(found.form.bring([given], wanted.shape), wanted)


@pytest.mark.parametrize("case", EQUAL)
def test_a_form_says_where_each_value_comes_from(case):
    given, wanted, _ = EQUAL[case]
    positions = np.arange(wanted.size)
    for form in forms_between(given.shape, wanted.shape):
        sources = form.sources(given.shape, positions)
        assert np.array_equal(given.reshape(-1)[sources], form.bring([given], wanted.shape).reshape(-1))


def test_height_and_width_do_not_change_places():
    """That is a fault, and no form."""
    exchanged = np.ascontiguousarray(MAP.transpose(0, 2, 1, 3)).reshape(2, 24, 5)
    assert not likeness(MAP.reshape(-1), exchanged.reshape(-1), exchanged.shape, MAP.shape).alike
    square = np.random.default_rng(2).standard_normal((2, 6, 6, 5))
    flipped = square.transpose(0, 2, 1, 3)
    assert not likeness(square.reshape(-1), flipped.reshape(-1), flipped.shape, square.shape).alike


def test_a_transposed_square_is_no_form():
    assert forms_between((8, 8), (8, 8)) == (AS_IT_IS,)


@pytest.mark.parametrize("given", [(2, 5, 4, 5), (2, 4, 6), (0,), ()])
def test_other_numbers_of_values_have_no_form(given):
    assert forms_between(given, MAP.shape) == ()
