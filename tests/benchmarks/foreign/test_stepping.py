"""Gate 4 of a long run: the steps are read one after another, and the rule from a sample of them."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from benchmarks.foreign import Recorder, stepping
from benchmarks.foreign.dump import read_dump
from benchmarks.foreign.judging import judge_dumps
from benchmarks.foreign.measure import Measure
from benchmarks.parity.finding import Run
from benchmarks.parity.summary import passed

SIZE, RATE = 50_000, 0.1


@pytest.fixture(autouse=True)
def small_sample(monkeypatch):
    monkeypatch.setattr(stepping, "_KEPT", 1 << 12)


def write(folder: Path, steps: int, decay: float = 1e-2) -> Path:
    """A dump of SGD with momentum on one large weight and a bias."""
    rng = np.random.default_rng(0)
    weights = {"fc.weight": rng.standard_normal(SIZE, np.float32), "fc.bias": rng.standard_normal(10, np.float32)}
    memory = {name: np.zeros_like(array) for name, array in weights.items()}
    record = Recorder(folder, parameters=weights)
    for _ in range(steps):
        gradients = {name: rng.standard_normal(array.size, np.float32) for name, array in weights.items()}
        record.backward({}, gradients)
        for name, gradient in gradients.items():
            memory[name] = np.float32(0.9) * memory[name] + gradient + np.float32(decay) * weights[name]
            weights[name] = weights[name] - np.float32(RATE) * memory[name]
        record.step(weights, rate=RATE)
    return folder


def judged(reference: Path, other: Path) -> Run:
    ours = read_dump(reference)
    return judge_dumps(ours, read_dump(other), Measure(ours, 1e-4), gates=(4,)).run


def most_held(steps: int, folder: Path) -> int:
    """The most bytes that the judge holds of two right runs of so many steps."""
    dumps = write(folder / f"reference{steps}", steps), write(folder / f"port{steps}", steps)
    tracemalloc.start()
    assert passed([judged(*dumps)])
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def test_more_steps_take_no_more_memory(tmp_path):
    assert most_held(9, tmp_path) < 1.2 * most_held(3, tmp_path)


def test_a_rule_is_read_from_a_sample(tmp_path):
    run = judged(write(tmp_path / "reference", 4), write(tmp_path / "port", 4, decay=0.0))
    told = next(finding for finding in run.failures() if finding.name == "update of fc.weight")
    assert told.usual_cause == "SGD: momentum 0.9, no weight decay; the reference: SGD: momentum 0.9, weight decay 0.01"
