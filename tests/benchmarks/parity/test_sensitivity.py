"""Faults of three tolerances are planted in what passed, and are found unless a gate is blind."""

import numpy as np
import pytest

from benchmarks.parity.judge import Judge
from benchmarks.parity.sensitivity import FAULT, Planting, plant
from benchmarks.parity.tolerances import FLOOR, Tolerances
from common.observing import Unobserved

VALUES = np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32)


def measured(error: float, array: np.ndarray = VALUES, gate: int = 3) -> Tolerances:
    tolerances = Tolerances()
    tolerances.measure_rounding(Tolerances.key(gate, "x"), array + error * np.abs(array).max(), array)
    return tolerances


@pytest.mark.parametrize("error", [0.0, 1e-5, 1e-4])
def test_a_planted_fault_is_found(error):
    judge = Judge(measured(error))
    assert judge(3, "x", "gradient", VALUES, VALUES).passed
    assert judge.sensitivity.figures() == {3: (1, 1)}


def test_a_fault_that_rounding_hides_is_counted_as_missed():
    judge = Judge(Tolerances())
    other = VALUES * np.float32(1.0 - (FAULT - 0.5) * FLOOR)
    judge.sensitivity.count(3, False)
    assert judge(3, "x", "gradient", VALUES, other).failed  # nothing is planted in what fails
    assert judge.sensitivity.figures() == {3: (0, 1)}


def test_nothing_is_planted_where_nothing_can_be_told():
    tolerances = measured(1.0)
    assert plant(VALUES, tolerances.allowed(Tolerances.key(3, "x"))) is None
    assert plant(np.zeros(3), Tolerances().allowed("y")) is None


def test_what_is_planted_has_the_size_of_three_tolerances():
    allowed = measured(1e-4).allowed(Tolerances.key(3, "x"))
    smaller = min(allowed.tolerance.largest, allowed.tolerance.frobenius)
    np.testing.assert_allclose(plant(VALUES, allowed), VALUES * (1 + FAULT * smaller))
    mask = np.zeros((100, 100), bool)
    mask[:50] = True
    allowed = measured(0.0, mask).allowed(Tolerances.key(3, "x"))
    assert (plant(mask, allowed) != mask).sum() == 36  # 4 may be others, and their root counts


def test_a_sum_of_rounding_gets_a_summand_of_its_layers_scale():
    tolerances, rounding = Tolerances(), np.full(20, 1e-7, np.float32)
    key = Tolerances.key(3, "conv.bias")
    tolerances.measure_rounding(key, np.zeros(20), rounding, sum_of=("conv.weight", VALUES))
    judge = Judge(tolerances)
    assert judge(3, "conv.bias", "gradient", rounding, rounding).passed
    assert judge.sensitivity.figures() == {3: (1, 1)}


def test_a_modules_output_is_spoilt_before_it_is_looked_at():
    class Watching(Unobserved):
        def entering(self, path, kind, value):
            pass

        def leaving(self, path, kind, value):
            self.seen = value

    watching = Watching()
    planting = Planting(watching, Tolerances(), 1)
    planting.entering("conv", "Conv", VALUES)
    given = planting.leaving("conv", "Conv", [VALUES])
    assert planting.planted == {"conv/0"}
    np.testing.assert_allclose(watching.seen[0], VALUES * (1 + FAULT * FLOOR), rtol=1e-6)
    np.testing.assert_array_equal(given[0], watching.seen[0])
