"""The four figures of a difference are what their formulas say, and nothing that is not finite passes."""

import math

import numpy as np
import pytest

from benchmarks.parity.difference import Scale, difference, holds, measure_scale
from benchmarks.parity.finding import Difference, Tolerance


def arrays(shape: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    reference = rng.normal(size=shape).astype(np.float32)
    return reference, (reference + 0.01 * rng.normal(size=shape)).astype(np.float32)


@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 7, 9), (3, 200_000)])  # the last takes several blocks
def test_the_figures_are_the_formulas(shape):
    reference, other = arrays(shape)
    found = difference(reference, other, 0.005)
    r, o = reference.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    scale = np.abs(r).max()
    assert found.largest == pytest.approx(np.abs(o - r).max() / scale, rel=1e-12)
    assert found.frobenius == pytest.approx(np.linalg.norm(o - r) / np.linalg.norm(r), rel=1e-9)
    assert found.cosine == pytest.approx(r @ o / np.linalg.norm(r) / np.linalg.norm(o), rel=1e-9)
    assert found.within == np.mean(np.abs(o - r) <= 0.005 * scale)


def test_the_layout_in_memory_does_not_matter():
    reference, other = arrays((6, 5, 4))
    plain = difference(np.ascontiguousarray(reference.T), np.ascontiguousarray(other.T), 0.01)
    assert difference(reference.T, other.T, 0.01) == plain


def test_small_errors_are_not_lost_in_a_long_sum():
    reference = np.ones(3_000_000, np.float32)
    other = reference + np.float32(2.0**-23)
    assert difference(reference, other, 1.0).frobenius == pytest.approx(2.0**-23, rel=1e-9)


def test_a_reference_of_zeros_counts_as_one_of_ones():
    zeros, other = np.zeros(4), np.array([0.0, 0.0, 0.0, 0.5])
    assert difference(zeros, other, 0.1) == Difference(largest=0.5, frobenius=0.25, cosine=0.0, within=0.75)
    assert difference(zeros, zeros, 0.0) == Difference(largest=0.0, frobenius=0.0, cosine=1.0, within=1.0)
    lost = difference(other, zeros, 0.1)
    assert (lost.largest, lost.frobenius, lost.cosine) == (1.0, 1.0, 0.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_never_holds(value):
    reference, other = np.ones(4), np.array([1.0, value, 1.0, 1.0])
    generous = Tolerance(0.0, 0.0, math.inf, math.inf)
    for found in (difference(reference, other, 1.0), difference(other, reference, 1.0), difference(other, other, 1.0)):
        assert (found.largest, found.frobenius) == (math.inf, math.inf)
        assert math.isnan(found.cosine)
        assert found.within == 0.75
        assert not holds(found, generous)


def test_an_infinity_that_overflows_on_the_way_is_none():
    big = np.array([3e38, -3e38], np.float32)
    assert difference(big, -big, 0.0).largest == 2.0


def test_integers_and_truth_values_do_not_wrap():
    found = difference(np.array([1, 200], np.uint8), np.array([2, 199], np.uint8), 0.001)
    assert (found.largest, found.within) == (1 / 200, 0.0)
    assert difference(np.array([True, True]), np.array([True, False]), 0.5).largest == 1.0


def test_empty_arrays_agree_and_other_shapes_are_refused():
    assert difference(np.zeros((0, 4)), np.zeros((0, 4)), 0.0).frobenius == 0.0
    with pytest.raises(ValueError, match=r"\(3, 2\).*\(2, 3\)"):
        difference(np.zeros((2, 3)), np.zeros((3, 2)), 0.0)


def test_the_scale_is_that_of_the_finite_values():
    array = np.array([3.0, -4.0, np.nan, np.inf])
    assert measure_scale(array) == Scale(4.0, 2.5)
    assert measure_scale(np.zeros(3)) == Scale(1.0, 1.0)
    assert measure_scale(np.full(300_000, 2.0, np.float32)) == Scale(2.0, 2.0)


def test_a_difference_can_be_relative_to_another_scale():
    reference, other = np.array([1e-6, -1e-6]), np.array([1e-6, 1e-6])
    found = difference(reference, other, 1e-5, Scale(2.0, 1.0))
    # Fused multiplication and addition leaves a rounding in the place of 0.
    assert found == Difference(1e-6, 2e-6 / math.sqrt(2), pytest.approx(0.0, abs=1e-15), 1.0)


def test_both_measures_have_to_hold():
    allowed = Tolerance(0.0, 0.0, largest=1e-3, frobenius=1e-4)
    assert holds(Difference(1e-3, 1e-4, 1.0, 1.0), allowed)
    assert not holds(Difference(1.1e-3, 1e-5, 1.0, 1.0), allowed)
    assert not holds(Difference(1e-4, 1.1e-4, 1.0, 1.0), allowed)
