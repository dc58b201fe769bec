import math

import pytest

from common.config import Schedule, load_settings
from common.training.schedules import learning_rate, with_batch_size


def test_yolact_as_the_original_has_it():
    """Linear from 1e-4 over 500 iterations, then a tenth at 280k, 600k, 700k and 750k."""
    schedule = load_settings("yolact_base").schedule
    expected = {
        0: 1e-4,
        1: 1e-4 + 9e-4 / 500,
        250: 5.5e-4,
        499: 1e-4 + 9e-4 * 499 / 500,
        500: 1e-3,
        279_999: 1e-3,
        280_000: 1e-4,
        600_000: 1e-5,
        699_999: 1e-5,
        700_000: 1e-6,
        750_000: 1e-7,
        799_999: 1e-7,
    }
    for step, rate in expected.items():
        assert learning_rate(schedule, step) == pytest.approx(rate, rel=1e-12), step


def test_constant_warm_up_as_maskrcnn_benchmark_has_it():
    """Its own scheduler's rates of 14 updates, with a base of 0.02, a factor of 1/3, 5 iterations and steps 8, 12."""
    schedule = Schedule(batch_size=1, iterations=14, learning_rate=0.02, warmup="constant", warmup_iterations=5)
    schedule = schedule.model_copy(update={"warmup_start": 1 / 3, "steps": (8, 12)})
    expected = [0.02 / 3] * 5 + [0.02] * 3 + [0.002] * 4 + [0.0002] * 2
    assert [learning_rate(schedule, step) for step in range(14)] == pytest.approx(expected, rel=1e-12)


def test_another_batch_size_scales_yolact_as_the_original_does():
    schedule = with_batch_size(load_settings("yolact_base").schedule, 5)
    assert schedule.batch_size == 5
    assert schedule.learning_rate == pytest.approx(6.25e-4)
    assert schedule.iterations == 1_280_000
    assert schedule.steps == (448_000, 960_000, 1_120_000, 1_200_000)
    assert schedule.warmup_iterations == 500
    assert learning_rate(schedule, 0) == pytest.approx(1e-4)
    assert learning_rate(schedule, 250) == pytest.approx((1e-4 + 6.25e-4) / 2)


def test_without_autoscale_only_the_batch_size_changes():
    schedule = Schedule(batch_size=8, iterations=100, learning_rate=0.1, steps=(50,))
    changed = with_batch_size(schedule, 2)
    assert changed == schedule.model_copy(update={"batch_size": 2})


def test_cosine_with_warmup():
    schedule = Schedule(
        batch_size=1, iterations=100, learning_rate=2.0, decay="cosine", warmup_iterations=10, warmup_start=0.001
    )
    assert learning_rate(schedule, 0) == pytest.approx(0.002)
    assert learning_rate(schedule, 5) == pytest.approx((0.001 * 0.5 + 0.5) * (1 + math.cos(math.pi * 0.05)))
    assert learning_rate(schedule, 50) == pytest.approx(1.0)
    assert learning_rate(schedule, 100) == pytest.approx(0.0, abs=1e-15)
    assert learning_rate(schedule, 120) == pytest.approx(0.0, abs=1e-15)


def test_steps_may_stand_in_any_order():
    schedule = Schedule(batch_size=1, iterations=100, learning_rate=1.0, steps=(60, 20), gamma=0.5)
    assert [learning_rate(schedule, step) for step in (19, 20, 59, 60)] == [1.0, 0.5, 0.5, 0.25]
