"""A family that no file of the project names is trained, evaluated, put to work, converted and compared by commands.

It lies in tests/unnamed_family as somebody else's family would: in folders that join the packages `common.families` and
this wing's, because Python's path leads to them.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from safetensors.numpy import load_file

from common.data.coco import resolve
from common.data.shapes import write_shapes

ROOT = Path(__file__).parents[2]
OUTSIDE = ROOT / "tests/unnamed_family"
MODEL = str(OUTSIDE / "pebble_small.yaml")
STEPS, STOPPED = 12, 8
STAGES = {"classes": (1, 4, 8, 8), "boxes": (1, 4, 8, 8), "masks": (1, 64, 8, 8)}
# A layer of each kind: its path and what it puts out.
LAYERS = {"conv1": (1, 32, 32, 32), "bn3": (1, 32, 8, 8), "masks": (1, 64, 8, 8)}
FILES = {"torch": "w.pth", "jittor": "w.pkl", "mindspore": "w.ckpt"}

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


@pytest.fixture(scope="module")
def weights(training) -> Path:
    return training / "weights.safetensors"


def test_training_lowers_the_loss(training):
    lines = [json.loads(line) for line in (training / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(STEPS))
    totals = [sum(line["losses"].values()) for line in lines]
    assert np.isfinite(totals).all()
    assert np.mean(totals[-3:]) < 0.5 * np.mean(totals[:3])


def test_evaluating_rates_every_image(framework, shapes, weights, tmp_path):
    words = [MODEL, "--data", shapes, "--weights", weights, "--output", tmp_path, "--workers", 0, "--device", "cpu"]
    assert "mask AP (COCO segm" in run(f"{framework}_impl.evaluate", *words)
    for kind in ("box", "mask"):
        results = json.loads((tmp_path / f"{kind}_results.json").read_text())
        assert {entry["image_id"] for entry in results} == set(resolve(shapes, "val").image_ids.tolist())


def test_predicting_draws_and_saves(framework, shapes, weights, tmp_path):
    image = min((shapes / "val").iterdir())
    words = [MODEL, "--weights", weights, shapes / "val", "--output", tmp_path, "--save", "overlay,npz"]
    run(f"{framework}_impl.predict", *words, "--device", "cpu", "--score-threshold", 0.01, "--top-k", 5)
    (drawn,) = (path for path in tmp_path.iterdir() if path.stem.startswith(image.stem) and path.suffix != ".npz")
    assert (cv2.imread(str(drawn)) != cv2.imread(str(image))).any()
    with np.load(tmp_path / f"{image.stem}.npz") as found:
        assert 0 < len(found["scores"]) <= 5 and found["masks"].shape[1:] == (64, 80)


def test_tracing_writes_stages_and_layers(framework, weights, tmp_path):
    image = np.random.default_rng(0).standard_normal((1, 3, 64, 64)).astype(np.float32)
    np.savez(tmp_path / "in.npz", image=image)
    words = [MODEL, "--weights", weights, "--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "out.npz"]
    run(f"{framework}_impl.trace", *words, "--layers", "--device", "cpu")
    with np.load(tmp_path / "out.npz") as traced:
        assert {name: traced[name].shape for name in STAGES} == STAGES
        assert {path: traced[f"layer.{path}"].shape for path in LAYERS} == LAYERS
        np.testing.assert_array_equal(traced["masks"], traced["layer.masks"])


def test_converting_to_every_framework_and_back_changes_no_bit(framework, weights, tmp_path):
    source = weights
    for name in (*FILES.values(), "w.safetensors"):
        run("weights_convert", source, tmp_path / name, "--model", MODEL)
        source = tmp_path / name
    original, back = load_file(weights), load_file(source)
    assert original.keys() == back.keys() and "bn1.running_var" in original
    assert all(np.array_equal(back[name], values) for name, values in original.items())
    words = [MODEL, "--weights", tmp_path / FILES[framework], "--inputs", tmp_path / "in.npz", "--device", "cpu"]
    np.savez(tmp_path / "in.npz", image=np.zeros((1, 3, 64, 64), np.float32))
    run(f"{framework}_impl.trace", *words, "--outputs", tmp_path / "out.npz")


def test_comparing_passes_every_gate(framework, tmp_path):
    if framework == "torch":
        pytest.skip("PyTorch is what the other two are compared with")
    run("benchmarks.parity", MODEL, "--frameworks", framework, "--output", tmp_path)
    report = json.loads((tmp_path / "pebble_small/parity.json").read_text())
    assert report["passed"] and {finding["gate"] for finding in report["runs"][-1]["findings"]} == {1, 2, 3, 4, 5}
