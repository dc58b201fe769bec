"""A family that no file of the project names is trained and compared by the commands.

It lies in tests/unnamed_family as somebody else's family would: in folders that join the packages `common.families` and
this wing's, because Python's path leads to them.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common.data.shapes import write_shapes

ROOT = Path(__file__).parents[2]
OUTSIDE = ROOT / "tests/unnamed_family"
MODEL = str(OUTSIDE / "pebble_small.yaml")
STEPS, STOPPED = 12, 8

pytestmark = pytest.mark.slow


def run(module: str, *words: object) -> str:
    """What `python -m MODULE` prints."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{OUTSIDE}"}
    command = [sys.executable, "-m", module, *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes", images=8, seed=3, size=(64, 80), val_images=3)


@pytest.fixture(scope="module")
def training(framework, shapes, tmp_path_factory) -> Path:
    """The folder of a run that was stopped on its way and has gone on."""
    output = tmp_path_factory.mktemp("run") / "pebble"
    words = [MODEL, "--data", shapes, "--output", output, "--workers", 1, "--device", "cpu", "--skip-test"]
    assert "model pebble_small in" in run(f"{framework}_impl.train", *words, "--iterations", STOPPED)
    assert f"the checkpoint of step {STOPPED}" in run(f"{framework}_impl.train", *words, "--resume")
    return output


def test_training_lowers_the_loss(training):
    lines = [json.loads(line) for line in (training / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(STEPS))
    totals = [sum(line["losses"].values()) for line in lines]
    assert np.isfinite(totals).all()
    assert np.mean(totals[-3:]) < 0.5 * np.mean(totals[:3])


def test_comparing_passes_every_gate(framework, tmp_path):
    if framework == "torch":
        pytest.skip("PyTorch is what the other two are compared with")
    run("benchmarks.parity", MODEL, "--frameworks", framework, "--output", tmp_path)
    report = json.loads((tmp_path / "pebble_small/parity.json").read_text())
    assert report["passed"] and {finding["gate"] for finding in report["runs"][-1]["findings"]} == {1, 2, 3, 4, 5}
