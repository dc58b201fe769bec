"""The benchmark of the models' speed measures what it says, and says in one line what it cannot run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed.made_up import make_weights
from benchmarks.speed.measuring import make_table
from benchmarks.speed.sizes import make_sizes_table, make_sizes_work
from common.models import load_settings

ROOT = Path(__file__).parents[2]
MASKS = ("1", "10", "100")
TASKS = {
    "yolact_tiny": [
        "forward and detection, batch 1",
        "training step, batch 2",
        *(f"assembly of masks, {count}" for count in MASKS),
    ],
    "mask_rcnn_tiny": [
        "whole inference, batch 1",
        "training step, batch 1",
        *(f"pasting of masks, {count}" for count in MASKS),
    ],
    "pose2seg_tiny": ["whole inference, 5 persons", "training step, 8 persons"],
}


def speed(*arguments, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "benchmarks.speed", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)


@pytest.mark.slow
def test_every_task_is_measured_as_often_as_asked(tmp_path):
    done = speed(*TASKS, "--frameworks", "torch", "--warmup", 0, "--repetitions", 2, "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    for model, tasks in TASKS.items():
        found = json.loads((tmp_path / "speed.json").read_text())[model]["torch"]
        for quantity in ("seconds", "cpu_seconds"):
            assert list(found[quantity]) == tasks
            assert all(len(values) == 2 and min(values) > 0 for values in found[quantity].values())
        # Otherwise suppression and masks would have nothing to do.
        assert found["detections"] == 5 if model == "pose2seg_tiny" else found["detections"] > 50
        assert found["peak_mib"] > 100
        assert all(task in done.stdout for task in tasks)


@pytest.mark.slow
def test_a_family_that_says_nothing_of_speed_is_measured_on_a_synthetic_set(tmp_path):
    outside = ROOT / "tests/unnamed_family"
    model = outside / "pebble_small.yaml"
    arguments = ["--frameworks", "torch", "--warmup", 0, "--repetitions", 1, "--output", tmp_path]
    done = speed(model, *arguments, PYTHONPATH=f"{ROOT}{os.pathsep}{outside}")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "speed.json").read_text())[str(model)]["torch"]
    assert list(found["seconds"]) == ["whole inference, batch 1", "training step, batch 1"]
    assert found["detections"] > 0


@pytest.mark.slow
def test_different_sizes_are_measured_beside_equal_ones(tmp_path):
    arguments = ["--frameworks", "torch", "--warmup", 0, "--sizes", 3, "--output", tmp_path]
    done = speed("mask_rcnn_tiny", *arguments)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "speed.json").read_text())["mask_rcnn_tiny"]["torch"]
    kinds = [f"{work}, {sizes}" for work in ("inference", "training") for sizes in ("equal", "varied")]
    assert {task: len(seconds) for task, seconds in found["seconds"].items()} == dict.fromkeys(kinds, 3)


def test_the_table_gives_ratios_to_the_first_that_runs():
    tasks = TASKS["yolact_tiny"]

    def measured(seconds, cpu_seconds):
        times = {"seconds": {task: seconds for task in tasks}, "cpu_seconds": {task: cpu_seconds for task in tasks}}
        return {**times, "peak_mib": 512.0, "detections": 100}

    missing = {"error": "PyTorch is not installed"}
    # The second round was disturbed, which leaves the ratios alone.
    found = {"jittor": measured([0.1, 0.4, 0.2], [1, 1, 1]), "mindspore": measured([0.25, 1.0, 0.9], [2, 3, 3])}
    lines = make_table({"torch": missing, **found}).splitlines()
    assert lines[0] == "not run: torch: PyTorch is not installed"
    assert lines[1].split() == ["jittor", "ms", "jittor", "cpu", "mindspore", "cpu"]
    for line, task in zip(lines[2:], tasks, strict=False):
        assert line.removeprefix(task).split() == ["200.0", "1.00", "1.00", "2.50", "3.00"]
    assert [line.split()[-2:] for line in lines[-2:]] == [["512", "512"], ["100", "100"]]
    assert make_table({"torch": missing}) == "not run: torch: PyTorch is not installed"


def test_the_table_of_sizes_gives_ratios_of_sums():
    equal, varied = [1.0, 1.0, 2.0], [1.0, 1.0, 10.0]
    times = {"inference, equal": equal, "inference, varied": equal, "training, equal": equal}
    times["training, varied"] = varied
    lines = make_sizes_table(
        {"jittor": {"seconds": times, "cpu_seconds": times}, "torch": {"error": "gone"}}
    ).splitlines()
    assert lines[0] == "not run: torch: gone"
    assert lines[2].split()[-3:] == ["1.00", "1.00", "2.00"]
    assert lines[3].split()[-3:] == ["3.00", "3.00", "10.00"]


def test_sizes_differ_in_both_directions_and_keep_to_the_settings():
    settings = load_settings("mask_rcnn_r50_fpn")
    sizes = np.array(make_sizes_work(settings, 0, 30).sizes)
    assert len({tuple(size) for size in sizes.tolist()}) == 30
    assert sizes.min() >= 640 and sizes.min(axis=1).max() <= 800 and sizes.max() <= 1333
    assert 5 < (sizes[:, 0] > sizes[:, 1]).sum() < 25


@pytest.mark.parametrize("model", ["mask_rcnn_r50_fpn", "mask_rcnn_r50_fpn_detectron2", "mask_rcnn_r50_c4"])
def test_the_background_is_what_the_weights_favour(model):
    settings = load_settings(model)
    layers = {"rpn.objectness": (3, 4, 1, 1), "rpn.deltas": (12, 4, 1, 1), "box_head.deltas": (324, 4)}
    shapes = {f"{layer}.weight": shape for layer, shape in layers.items()}
    shapes |= {"box_head.classes.weight": (81, 4), "box_head.classes.bias": (81,)}
    bias = make_weights(shapes, settings, 0)["box_head.classes.bias"]
    assert bias.argmax() == (80 if model.endswith("detectron2") else 0)
    assert np.count_nonzero(bias) == 1


def test_what_is_unknown_is_named_in_one_line():
    for arguments, word in (
        (("yolact_tiny", "--frameworks", "torch,keras"), "keras"),
        (("yolact_huge",), "yolact_huge"),
        (("yolact_tiny", "--sizes", 3), "images of one size"),
    ):
        done = speed(*arguments)
        assert done.returncode == 2
        assert word in done.stderr and len(done.stderr.splitlines()) == 1
