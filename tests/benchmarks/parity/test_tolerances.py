"""What is allowed follows from what rounding does to the reference, array by array, and never hides a fault."""

import math

import numpy as np
import pytest

from benchmarks.parity.difference import Scale, difference, holds
from benchmarks.parity.judge import Judge
from benchmarks.parity.tolerances import FACTOR, FEW, FLOOR, MOST, PERTURBED_FACTOR, UNBOUNDED, Tolerances

RNG = np.random.default_rng(0)
VALUES = RNG.normal(size=(20, 30)).astype(np.float32)
KEY = Tolerances.key(3, "conv.weight")
BIAS = Tolerances.key(3, "conv.bias")


def off_by(largest: float, array: np.ndarray = VALUES) -> np.ndarray:
    """The array with noise, the largest of which is a given part of the largest value."""
    noise = RNG.uniform(-1, 1, array.shape)
    return array + noise * largest * np.abs(array).max() / np.abs(noise).max()


def test_it_is_a_multiple_of_the_error_against_float64_or_of_perturbed_runs():
    tolerances = Tolerances()
    tolerances.measure_rounding(KEY, off_by(1e-5), VALUES)
    allowed = tolerances.allowed(KEY)
    assert allowed.tolerance.largest == pytest.approx(FACTOR * 1e-5, rel=1e-6)
    assert allowed.tolerance.measured_largest == pytest.approx(1e-5, rel=1e-6)
    assert allowed.scale_of == ""
    tolerances.measure_perturbed(KEY, off_by(1e-3), VALUES)
    tolerances.measure_perturbed(KEY, off_by(1e-4), VALUES)  # the largest of several counts
    assert tolerances.allowed(KEY).tolerance.largest == pytest.approx(PERTURBED_FACTOR * 1e-3, rel=1e-6)


def test_it_is_the_floor_at_least():
    tolerances = Tolerances()
    tolerances.measure_rounding(KEY, VALUES.astype(np.float64), VALUES)
    for key in (KEY, "nothing was measured"):
        allowed = tolerances.allowed(key).tolerance
        assert (allowed.largest, allowed.frobenius) == (FLOOR, FLOOR)
        allowed = tolerances.allowed(key, floor=(1e-3, 1e-4)).tolerance
        assert (allowed.largest, allowed.frobenius) == (1e-3, 1e-4)


def test_another_order_of_summation_holds_and_a_lower_precision_does_not():
    rows, columns = RNG.normal(size=(40, 500)).astype(np.float32), RNG.normal(size=(500, 30)).astype(np.float32)
    tolerances = Tolerances()
    tolerances.measure_rounding(KEY, rows.astype(np.float64) @ columns, rows @ columns)
    allowed = tolerances.allowed(KEY).tolerance
    order = RNG.permutation(500)
    one_by_one = np.add.accumulate(rows[:, order, None] * columns[order], axis=1, dtype=np.float32)[:, -1]
    assert holds(difference(rows @ columns, one_by_one, allowed.largest), allowed)
    half = (rows.astype(np.float16).astype(np.float32)) @ columns
    assert not holds(difference(rows @ columns, half, allowed.largest), allowed)


def test_more_than_the_most_is_not_allowed_but_cannot_be_told():
    tolerances = Tolerances()
    tolerances.measure_rounding(KEY, off_by(1.0), VALUES)
    allowed = tolerances.allowed(KEY)
    assert allowed.tolerance.largest == allowed.tolerance.frobenius == UNBOUNDED and not allowed.can_tell
    judge = Judge(tolerances)
    for other in (off_by(0.5), -VALUES):
        finding = judge(3, "conv.weight", "gradient", VALUES, other)
        assert (finding.verdict, finding.passed, finding.failed) == ("cannot tell", False, False)
    assert judge(3, "conv.weight", "gradient", VALUES, VALUES).passed  # equal arrays agree, whatever rounding does
    assert judge(3, "conv.weight", "gradient", VALUES, np.full_like(VALUES, np.nan)).failed
    assert judge(3, "conv.weight", "gradient", VALUES, None).failed


def test_one_figure_can_tell_where_the_other_cannot():
    tolerances = Tolerances()
    leapt = VALUES.astype(np.float64)
    leapt[0, 0] += 0.5 * np.abs(VALUES).max()  # one element of many, as at a kink
    tolerances.measure_perturbed(KEY, leapt, VALUES)
    tolerance = tolerances.allowed(KEY, floor=(0.0, MOST)).tolerance
    assert tolerance.largest == UNBOUNDED and tolerance.frobenius == UNBOUNDED
    big = np.tile(VALUES, (400, 1))
    leapt = big.astype(np.float64)
    leapt[0, 0] += 0.5 * np.abs(VALUES).max()
    tolerances = Tolerances()
    tolerances.measure_perturbed(KEY, leapt, big)
    assert tolerances.allowed(KEY).tolerance.frobenius < MOST
    judge = Judge(tolerances)
    assert judge(3, "conv.weight", "gradient", big, leapt).passed
    assert judge(3, "conv.weight", "gradient", big, 1.05 * big).failed


def test_a_sum_of_nothing_but_rounding_is_held_against_the_scale_of_its_layers_weight():
    tolerances = Tolerances()
    rounding = 1e-7 * RNG.normal(size=20).astype(np.float32)
    tolerances.measure_rounding(BIAS, np.zeros(20), rounding, sum_of=("conv.weight", VALUES))
    allowed = tolerances.allowed(BIAS)
    assert allowed.can_tell and allowed.scale_of == "conv.weight"
    assert allowed.scale == Scale(float(np.abs(VALUES).max()), pytest.approx(float(np.sqrt(np.mean(VALUES**2)))))
    judge = Judge(tolerances)
    passed = judge(3, "conv.bias", "gradient", rounding, -rounding)
    assert passed.passed and passed.scale_of == "conv.weight" and passed.difference.largest < 1e-6
    assert judge(3, "conv.bias", "gradient", rounding, rounding + 1e-3).failed
    # One that is more than rounding has a scale of its own.
    bias = RNG.normal(size=20).astype(np.float32)
    tolerances.measure_rounding(KEY, bias.astype(np.float64), bias, sum_of=("conv.weight", 1000 * VALUES))
    assert tolerances.allowed(KEY).scale_of == ""


def test_an_error_is_lent_to_the_same_array_in_other_steps_and_to_no_other_array():
    tolerances = Tolerances()
    for step, largest in ((1, 1e-5), (2, 1e-3)):
        scaled = np.float32(step) * VALUES
        tolerances.measure_perturbed(Tolerances.key(4, "weight", "injected", step), off_by(largest, scaled), scaled)
        tolerances.measure_perturbed(Tolerances.key(4, "other", "injected", step), off_by(1e-5, scaled), scaled)
    tolerances.join_steps(4, "injected")
    for step in (1, 2):
        weight, other = (
            tolerances.allowed(Tolerances.key(4, name, "injected", step)).tolerance for name in ("weight", "other")
        )
        assert weight.largest == pytest.approx(PERTURBED_FACTOR * 1e-3, rel=1e-5)
        assert other.largest == pytest.approx(PERTURBED_FACTOR * 1e-5, rel=1e-5)


def test_of_masks_the_number_of_other_pixels_counts():
    mask = np.zeros((100, 100), bool)
    mask[20:80, 20:80] = True
    tolerances = Tolerances()
    tolerances.measure_rounding(KEY, mask, mask)
    few, many = mask.copy(), mask.copy()
    few[0, :FEW] = True
    many[0, : FEW + 1] = True
    judge = Judge(tolerances)
    assert judge(3, "conv.weight", "stage", mask, few).passed
    assert judge(3, "conv.weight", "stage", mask, many).failed


def test_rows_whose_number_rounding_changes_cannot_be_told():
    tolerances = Tolerances()
    tolerances.measure_rounding(KEY, VALUES[:-1], VALUES)
    judge = Judge(tolerances)
    assert judge(3, "conv.weight", "stage", VALUES, VALUES[:-2]).verdict == "cannot tell"
    tolerances = Tolerances()
    tolerances.measure_rounding(KEY, VALUES.astype(np.float64), VALUES)
    finding = Judge(tolerances)(3, "conv.weight", "stage", VALUES, VALUES[:-2])
    assert finding.failed and finding.pattern == "another shape"


def test_what_was_measured_is_saved(tmp_path):
    tolerances = Tolerances()
    tolerances.measure_rounding(BIAS, np.zeros(20), np.full(20, 1e-7, np.float32), sum_of=("conv.weight", VALUES))
    tolerances.measure_rounding(KEY, VALUES[:-1], VALUES)
    tolerances.share(KEY, "another name")
    tolerances.save(tmp_path / "tolerances.json")
    again = Tolerances.load(tmp_path / "tolerances.json")
    for key in (BIAS, KEY, "another name"):
        assert again.allowed(key) == tolerances.allowed(key)
    assert math.isinf(again.allowed(KEY).tolerance.measured_largest)
    assert Tolerances.load(tmp_path / "missing.json").allowed(KEY).tolerance.largest == FLOOR
