"""A run that is killed at any moment and resumed ends, bit for bit, as one that never stopped."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from common.data.shapes import write_shapes

ROOT = Path(__file__).parents[2]
STEPS = 7
PATIENCE = 900  # seconds; the first step compiles in some frameworks


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes", images=12, seed=0, val_images=2)


def start(framework, data, output, *more):
    """The wing's command. A batch of 6 images trains the norms too."""
    arguments = ["yolact_tiny", "--data", data, "--output", output, "--iterations", STEPS, "--workers", 1, *more]
    overrides = ["batch_size=6", "log_every=1", "checkpoint_every=2", "warmup_iterations=4"]
    command = [sys.executable, "-m", f"{framework}_impl.train", *map(str, arguments), "--device", "cpu"]
    command += [f"schedule.{override}" for override in overrides]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(process):
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors[-2000:]


def losses(output):
    """The logged losses by step; a line that was cut short does not count."""
    path = output / "log.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return {line["step"]: line["losses"] for line in map(json.loads, lines) if "losses" in line}


def arrays(output):
    """What the run has learned: its weights with the norms' statistics, and the optimizer's memory."""
    last = output / "checkpoints" / f"step_{STEPS:06d}"
    return load_file(output / "weights.safetensors") | load_file(last / "optimizer.safetensors")


@pytest.mark.slow
def test_killed_and_resumed(framework, data, tmp_path):
    finish(start(framework, data, tmp_path / "whole"))
    # Evaluating on the way must leave no trace in what follows.
    evaluating = "schedule.evaluate_every=2"
    killed = start(framework, data, tmp_path / "killed", evaluating)
    until, goal = time.monotonic() + PATIENCE, random.randint(3, STEPS - 2)
    while len(losses(tmp_path / "killed")) < goal and killed.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.02)
    time.sleep(random.uniform(0, 0.3))
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL, "the run was over before it could be killed"
    finish(start(framework, data, tmp_path / "killed", evaluating, "--resume"))
    expected = losses(tmp_path / "whole")
    assert list(expected) == list(range(STEPS))
    assert losses(tmp_path / "killed") == expected
    whole, resumed = arrays(tmp_path / "whole"), arrays(tmp_path / "killed")
    assert whole.keys() == resumed.keys()
    assert any(name.endswith("running_var") and value.std() > 0 for name, value in whole.items()), "no norm has moved"
    assert [name for name, value in whole.items() if not np.array_equal(resumed[name], value)] == []
