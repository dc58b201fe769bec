"""The trainer with a real if little learner in NumPy: linear regression by SGD with momentum.

Run as a script, this file trains in a process of its own, which the tests kill.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from common import weights as weight_files
from common.errors import UserError
from common.models import load_settings
from common.training import checkpoints
from common.training.randomness import stream
from common.training.schedules import learning_rate
from common.training.trainer import NonFiniteLoss, Trainer

ROOT = Path(__file__).parents[3]
ITERATIONS = 40
START = {"weight": np.zeros((3, 1), np.float32), "bias": np.zeros((1,), np.float32)}


class LinearLearner:
    framework, device, rank, world = "numpy", "cpu", 0, 1

    def __init__(self, momentum: float = 0.9):
        self._momentum = momentum
        self._weights: dict[str, np.ndarray] = {}
        self._memory: dict[str, np.ndarray] = {}

    def weights(self):
        return {name: value.copy() for name, value in self._weights.items()}

    def load_weights(self, weights):
        self._weights = {name: value.copy() for name, value in weights.items()}

    def optimizer_state(self):
        return {name: value.copy() for name, value in self._memory.items()}

    def load_optimizer_state(self, state):
        self._memory = {name: value.copy() for name, value in state.items()}

    def train_step(self, batch, rate):
        error = batch["image"] @ self._weights["weight"] + self._weights["bias"] - batch["target"]
        losses = {"square": float((error**2).mean()), "bias": float(abs(self._weights["bias"]).sum())}
        if not np.isfinite(losses["square"]):
            return losses
        gradients = {"weight": batch["image"].T @ error / len(error), "bias": error.mean(0)}
        for name, gradient in gradients.items():
            self._memory[name] = self._momentum * self._memory.get(name, np.float32(0)) + gradient
            self._weights[name] = (self._weights[name] - np.float32(rate) * self._memory[name]).astype(np.float32)
        return losses


def batches(start=0, poisoned=(), pause=0.0):
    """Batches keyed by the step; those of the steps `poisoned` hold an infinite value."""
    step = start
    while True:
        rng = stream(0, step, "regression")
        image = rng.standard_normal((8, 3)).astype(np.float32)
        target = image @ np.float32([[1], [-2], [3]]) + 1
        if step in poisoned:
            image[5, 1] = np.inf
        time.sleep(pause)
        yield step, {"image": image, "target": target, "image_id": np.arange(100 * step, 100 * step + 8)}
        step += 1


def trainer(output, learner=None, evaluate=None, seed=0, **schedule):
    schedule = {"iterations": ITERATIONS, "learning_rate": 0.05, "checkpoint_every": 5, "log_every": 1} | schedule
    schedule["warmup_iterations"] = 4
    settings = load_settings("yolact_tiny", [f"schedule.{key}={json.dumps(value)}" for key, value in schedule.items()])
    card = weight_files.Card(
        model="linear", source="test", licence="Apache-2.0", preprocessing=settings.preprocessing, classes=("a",)
    )
    return Trainer(learner or LinearLearner(), settings, seed, Path(output), card, {"images": 8}, evaluate)


def log_lines(output):
    """The log without what is different in each run: how long things took."""
    lines = [json.loads(line) for line in (Path(output) / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if "seconds" not in key} for line in lines]


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    """A run that nothing stopped, with evaluations: its output folder."""
    output = tmp_path_factory.mktemp("whole")
    run = trainer(output, evaluate=lambda: {"AP": 1.5}, evaluate_every=15)
    run.begin(START)
    run.run(batches())
    return output


def test_it_learns_and_logs_every_step(whole_run):
    training = [line for line in log_lines(whole_run) if "losses" in line]
    assert [line["step"] for line in training] == list(range(ITERATIONS))
    assert training[-1]["losses"]["square"] < 0.05 * training[0]["losses"]["square"]
    schedule = trainer(whole_run).settings.schedule
    assert [line["learning_rate"] for line in training] == [learning_rate(schedule, s) for s in range(ITERATIONS)]
    assert [line["step"] for line in log_lines(whole_run) if "evaluation" in line] == [15, 30, 40]
    assert list((whole_run / "tensorboard").glob("events.*"))


def test_it_keeps_the_last_checkpoints_and_the_final_weights(whole_run):
    assert [path.name for path in checkpoints.existing(whole_run / "checkpoints")] == [
        "step_000030",
        "step_000035",
        "step_000040",
    ]
    last = checkpoints.read(whole_run / "checkpoints" / "step_000040")
    final, card = weight_files.load(whole_run / "weights.safetensors")
    assert card.iteration == ITERATIONS
    assert all(np.array_equal(final[name], last.weights[name]) for name in START)


def test_weights_resumed_midway_end_bit_for_bit_the_same(whole_run, tmp_path):
    first = trainer(tmp_path, iterations=20)
    first.begin(START)
    first.run(batches())
    second = trainer(tmp_path)
    second.resume()
    assert second.step == 20
    second.run(batches(20))
    expected, _ = weight_files.load(whole_run / "weights.safetensors")
    got, _ = weight_files.load(tmp_path / "weights.safetensors")
    assert all(np.array_equal(got[name], expected[name]) for name in START)


@pytest.mark.slow
def test_a_killed_run_resumes_with_the_same_losses(whole_run, tmp_path):
    for _ in range(3):
        killed = _start_process(tmp_path)
        _wait_for_lines(tmp_path, _line_count(tmp_path) + random.randint(7, 10))
        killed.send_signal(signal.SIGKILL)
        assert killed.wait() == -signal.SIGKILL
    assert 0 < _line_count(tmp_path) < ITERATIONS
    last = _start_process(tmp_path)
    assert last.wait(60) == 0
    expected = [line for line in log_lines(whole_run) if "losses" in line]
    assert log_lines(tmp_path) == expected


def test_termination_finishes_the_step_and_saves(tmp_path):
    stopped = _start_process(tmp_path)
    _wait_for_lines(tmp_path, 8)
    stopped.send_signal(signal.SIGTERM)
    assert stopped.wait(30) == 130
    last = checkpoints.existing(tmp_path / "checkpoints")[-1]
    assert checkpoints.read(last).state.step == log_lines(tmp_path)[-1]["step"] + 1


def test_a_loss_that_is_not_finite_stops_and_names_the_images(tmp_path):
    run = trainer(tmp_path, nonfinite_losses=1)
    run.begin(START)
    with np.errstate(all="ignore"), pytest.raises(NonFiniteLoss) as error:
        run.run(batches(poisoned=[12]))
    assert "step 12" in str(error.value)
    assert "1200, 1201, 1202, 1203, 1204, 1205, 1206, 1207" in str(error.value)
    assert "step_000010" in str(error.value)
    last = checkpoints.existing(tmp_path / "checkpoints")[-1]
    assert last.name == "step_000010"
    assert all(np.isfinite(value).all() for value in checkpoints.read(last).weights.values())


@np.errstate(all="ignore")
def test_yolact_goes_on_without_a_step_whose_loss_is_not_finite(tmp_path, capsys):
    run = trainer(tmp_path)  # its settings are YOLACT's: the tenth in a row is one too many
    run.begin(START)
    run.run(batches(poisoned=[3, *range(12, 21), 30]))
    lines = log_lines(tmp_path)
    left_out = [line for line in lines if "left_out" in line]
    assert [line["step"] for line in left_out] == [3, *range(12, 21), 30]
    assert left_out[0]["images"] == list(range(300, 308)) and left_out[0]["left_out"]["square"] in ("inf", "nan")
    steps = [line["step"] for line in lines if "losses" in line]
    assert steps == [step for step in range(ITERATIONS) if step not in (3, *range(12, 21), 30)]
    assert "11 left out so far" in capsys.readouterr().err
    weights, _ = weight_files.load(tmp_path / "weights.safetensors")
    expected = LinearLearner()
    expected.load_weights(START)
    for step, batch in zip(range(ITERATIONS), (batch for _, batch in batches()), strict=False):
        if step in steps:
            expected.train_step(batch, learning_rate(run.settings.schedule, step))
    assert all(np.array_equal(weights[name], value) for name, value in expected.weights().items())


@np.errstate(all="ignore")
def test_a_run_without_a_log_counts_the_losses_that_are_not_finite(tmp_path, capsys):
    run = trainer(tmp_path, nonfinite_losses=10, iterations=6)
    run.logs = False
    run.begin(START)
    run.run(batches(poisoned=(2, 4)))
    said = capsys.readouterr().err
    assert "1 left out so far" in said and "2 left out so far" in said
    assert run.step == 6 and not (tmp_path / "log.jsonl").exists()


@pytest.mark.parametrize("stopped_at", [None, 25])
@np.errstate(all="ignore")
def test_ten_such_steps_in_a_row_stop_it(tmp_path, stopped_at):
    """Also where the run was stopped and resumed among them."""
    run = trainer(tmp_path, iterations=stopped_at or ITERATIONS)
    run.begin(START)
    poisoned = range(20, 35)
    if stopped_at:
        run.run(batches(poisoned=poisoned))
        run = trainer(tmp_path)
        run.resume()
    with pytest.raises(NonFiniteLoss, match=r"step 29 is not finite .* 2900, 2901.* 10 of them in a row"):
        run.run(batches(run.step, poisoned=poisoned))


@pytest.mark.parametrize("broken", ["safetensors", "state"])
def test_a_crash_while_writing_leaves_the_last_checkpoint(tmp_path, monkeypatch, broken):
    run = trainer(tmp_path)
    run.begin(START)

    def crash(*arguments, **options):
        raise OSError("no space left on device")

    original = checkpoints.write

    def write(folder, checkpoint, *keep):
        if checkpoint.state.step == 15:
            if broken == "safetensors":
                monkeypatch.setattr(checkpoints, "save_file", crash)
            else:
                monkeypatch.setattr(json, "dumps", crash)
        return original(folder, checkpoint, *keep)

    monkeypatch.setattr(checkpoints, "write", write)
    with pytest.raises(OSError, match="no space"):
        run.run(batches())
    monkeypatch.undo()
    again = trainer(tmp_path)
    again.resume()
    assert again.step == 10
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step_000005", "step_000010"]


def test_remains_of_a_killed_writer_do_not_count(tmp_path):
    run = trainer(tmp_path, iterations=10)
    run.begin(START)
    run.run(batches())
    remains = tmp_path / "checkpoints" / ".step_000015.99.tmp"
    remains.mkdir()
    (remains / "weights.safetensors").write_bytes(b"half")
    again = trainer(tmp_path, iterations=12)
    again.resume()
    assert again.step == 10
    again.run(batches(10))
    assert not remains.exists()


def test_an_evaluation_that_a_kill_prevented_is_made_up_for(tmp_path):
    def crash():
        raise RuntimeError("killed")

    run = trainer(tmp_path, evaluate=crash, evaluate_every=10)
    run.begin(START)
    with pytest.raises(RuntimeError, match="killed"):
        run.run(batches())
    again = trainer(tmp_path, evaluate=lambda: {"AP": 2.0}, evaluate_every=10)
    again.resume()
    again.run(batches(10))
    assert [line["step"] for line in log_lines(tmp_path) if "evaluation" in line] == [10, 20, 30, 40]


def test_neither_way_of_starting_is_guessed(tmp_path):
    with pytest.raises(UserError, match="nothing to resume"):
        trainer(tmp_path).resume()
    run = trainer(tmp_path, iterations=5)
    run.begin(START)
    run.run(batches())
    with pytest.raises(UserError, match="already holds a run"):
        trainer(tmp_path).begin(START)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"learning_rate": 0.1}, "schedule.learning_rate = 0.05, this run has 0.1"),
        ({"seed": 7}, "seed = 0"),
        ({}, None),
    ],
)
def test_only_the_same_run_is_resumed(tmp_path, change, named):
    run = trainer(tmp_path, iterations=5)
    run.begin(START)
    run.run(batches())
    again = trainer(tmp_path, iterations=9, **change)
    if named is None:
        again.resume()
    else:
        with pytest.raises(UserError, match=named):
            again.resume()


def test_a_broken_checkpoint_is_named(tmp_path):
    run = trainer(tmp_path, iterations=5)
    run.begin(START)
    run.run(batches())
    path = tmp_path / "checkpoints" / "step_000005" / "optimizer.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(UserError, match="step_000005: not a whole checkpoint"):
        trainer(tmp_path).resume()


def _start_process(output):
    return subprocess.Popen(
        [sys.executable, __file__, str(output)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )


def _line_count(output):
    path = Path(output) / "log.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


def _wait_for_lines(output, count):
    until = time.monotonic() + 60
    while _line_count(output) < count:
        assert time.monotonic() < until, "the process did not come so far"
        time.sleep(0.005)


def _train_in_this_process(output):
    run = trainer(output)
    if checkpoints.existing(run.folder):
        run.resume()
    else:
        run.begin(START)
    run.run(batches(run.step, pause=0.05))


if __name__ == "__main__":
    from common.errors import run_command

    run_command(lambda: _train_in_this_process(sys.argv[1]))
