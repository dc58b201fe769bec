"""Gate 4 of a long run: the steps are read one after another, and the rule from a sample of them."""

import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from benchmarks.foreign import Recorder, stepping
from benchmarks.foreign.dump import read_dump
from benchmarks.foreign.judging import judge_dumps
from benchmarks.foreign.measure import Measure
from benchmarks.parity.finding import Run
from benchmarks.parity.summary import passed

RATE = 0.1
SHAPES = {"fc.weight": (50_000,), "fc.bias": (10,)}
KERNELS = {"conv.weight": (8, 4, 3, 3), "square.weight": (8, 8), "fc.weight": (5, 8), "fc.bias": (5,)}


@pytest.fixture(autouse=True)
def small_sample(monkeypatch):
    monkeypatch.setattr(stepping, "_KEPT", 1 << 12)


def as_it_is(array: np.ndarray) -> np.ndarray:
    return array


def write(
    folder: Path,
    steps: int,
    decay: float = 1e-2,
    shapes: Mapping[str, tuple[int, ...]] = SHAPES,
    kept: Callable[[np.ndarray], np.ndarray] = as_it_is,
) -> Path:
    """A dump of SGD with momentum; kept: a parameter as the dump has it."""
    rng = np.random.default_rng(0)
    weights = {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    memory = {name: np.zeros_like(array) for name, array in weights.items()}
    record = Recorder(folder, {"image": np.ones(1)}, {name: kept(array) for name, array in weights.items()})
    for _ in range(steps):
        gradients = {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
        record.backward({}, {name: kept(array) for name, array in gradients.items()})
        for name, gradient in gradients.items():
            memory[name] = np.float32(0.9) * memory[name] + gradient + np.float32(decay) * weights[name]
            weights[name] = weights[name] - np.float32(RATE) * memory[name]
        record.step({name: kept(array) for name, array in weights.items()}, rate=RATE)
    return folder


def judged(reference: Path, other: Path) -> Run:
    ours = read_dump(reference)
    return judge_dumps(ours, read_dump(other), Measure(ours, 1e-4), gates=(3, 4)).run


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


def test_kernels_that_are_kept_with_their_channels_last_are_judged_in_training(tmp_path):
    reference = write(tmp_path / "reference", 3, shapes=KERNELS)
    right = write(tmp_path / "right", 3, shapes=KERNELS, kept=channels_last)
    run = judged(reference, right)
    assert passed([run]) and {"square.weight", "update of conv.weight"} <= {finding.name for finding in run.findings}
    wrong = judged(reference, write(tmp_path / "wrong", 3, 0.0, KERNELS, channels_last))
    assert {finding.name for finding in wrong.failures(4)} >= {"update of conv.weight", "update of square.weight"}


def channels_last(array: np.ndarray) -> np.ndarray:
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
