"""The benchmark of the models' speed measures what it says, and says in one line what it cannot run."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed.growth import fit_exponent, make_growth_table
from benchmarks.speed.made_up import make_weights
from benchmarks.speed.plots import plot_growth
from benchmarks.speed.sizes import make_sizes_table, make_sizes_work
from benchmarks.speed.table import make_speed_table, make_table
from benchmarks.speed.work import FORWARD, POST_PROCESSING, add_post_processing
from benchmarks.tables import read_table
from common.models import load_settings

ROOT = Path(__file__).parents[2]
MASKS = ("1", "10", "100")
TASKS = {
    "yolact_tiny": [
        "whole inference, batch 1",
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


LOADED = {"yolact_tiny": 2, "mask_rcnn_tiny": 1, "pose2seg_tiny": 4}  # images of a training batch


@pytest.mark.slow
def test_every_task_is_measured_as_often_as_asked(tmp_path):
    done = speed(*TASKS, "--frameworks", "torch", "--warmup", 0, "--repetitions", 2, "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    table = read_table(tmp_path / "speed.json")
    for model, tasks in TASKS.items():
        rows = {row["task"]: row for row in table.rows if row["model"] == model}
        parts = [FORWARD, POST_PROCESSING, *tasks, f"loader, batch {LOADED[model]}", "evaluation, 4 images"]
        assert list(rows) == parts
        assert {row["repetitions"] for row in rows.values()} == {2}
        assert all(row["low"] <= row["ms"] <= row["high"] for row in rows.values())
        assert all(row["ms"] > 0 and row["cpu_ms"] > 0 for task, row in rows.items() if task != POST_PROCESSING)
        assert all(set(table.columns) == set(row) for row in rows.values())
        assert rows[f"loader, batch {LOADED[model]}"]["batch"] == LOADED[model]
        # Otherwise suppression and masks would have nothing to do.
        found = rows[tasks[0]]["detections"]
        assert found == 5 if model == "pose2seg_tiny" else found > 50
        assert rows[FORWARD]["peak_mib"] > 100
        assert all(task in done.stdout for task in parts)


@pytest.mark.slow
def test_a_family_that_says_nothing_of_speed_is_measured_on_a_synthetic_set(tmp_path):
    outside = ROOT / "tests/unnamed_family"
    model = outside / "pebble_small.yaml"
    arguments = ["--frameworks", "torch", "--warmup", 0, "--repetitions", 1, "--output", tmp_path]
    done = speed(model, *arguments, PYTHONPATH=f"{ROOT}{os.pathsep}{outside}")
    assert done.returncode == 0, done.stderr
    rows = {row["task"]: row for row in read_table(tmp_path / "speed.json").rows}
    assert list(rows)[2:4] == ["whole inference, batch 1", "training step, batch 1"]
    assert rows["whole inference, batch 1"]["detections"] > 0


@pytest.mark.slow
def test_different_sizes_are_measured_beside_equal_ones(tmp_path):
    arguments = ["--frameworks", "torch", "--warmup", 0, "--sizes", 3, "--output", tmp_path]
    done = speed("mask_rcnn_tiny", *arguments)
    assert done.returncode == 0, done.stderr
    rows = read_table(tmp_path / "sizes.json").rows
    assert [row["work"] for row in rows] == ["inference", "training"]
    assert all(row["ratio"] > 0 and row["slowest"] >= 1 for row in rows)


@pytest.mark.slow
def test_growth_is_measured_and_plotted(tmp_path):
    arguments = ["--growth", "--frameworks", "torch", "--warmup", 0, "--repetitions", 1, "--output", tmp_path]
    done = speed("yolact_tiny", *arguments)
    assert done.returncode == 0, done.stderr
    rows = read_table(tmp_path / "growth.json").rows
    values = {quantity: [row["value"] for row in rows if row["quantity"] == quantity] for quantity in GROWN}
    assert values == {"image side": [64, 96, 128, 160], "batch": [1, 2, 4], "instances": [1, 3, 10, 30, 100]}
    for row in rows:
        assert row["seconds"] > 0 and np.isfinite(row["exponent"])
        assert (row["share"] or 0) > 0 if row["task"] == "forward" else row["share"] is None
    # A network of convolutions alone has as many operations as the image has pixels, many times over.
    per_pixel = [row["gflops"] * row["seconds"] / row["value"] ** 2 for row in rows if row["quantity"] == "image side"]
    assert per_pixel == pytest.approx([per_pixel[0]] * 4, rel=0.1)
    assert len(list(tmp_path.glob("growth_yolact_tiny_*.svg"))) == 3


GROWN = ("image side", "batch", "instances")


def growing(factor):
    """A framework's figures whose times grow with the square of the side, in half the rounds disturbed."""
    sides = (64, 128, 256)
    seconds = {f"image side {side}": [factor * side**2 / 1e6, factor * side**2 / 1e6, 9.0] for side in sides}
    facts = {f"image side {side}": {"quantity": "image side", "value": side, "task": "forward"} for side in sides}
    for side in sides if factor == 1 else ():  # the first framework counts the operations
        facts[f"image side {side}"]["operations"] = 1000 * side**2
    seconds["matrix product"], facts["matrix product"] = [factor] * 3, {"operations": 4 * 10**9}
    return {"seconds": seconds, "cpu_seconds": seconds, "facts": facts}


def test_the_exponent_and_the_share_of_the_machine_are_worked_out(tmp_path):
    rows = make_growth_table({"some/model.yaml": {"torch": growing(1), "jittor": growing(2)}}).rows
    assert len(rows) == 6
    for row in rows:
        # A thousand operations in a microsecond, beside four thousand million in a second.
        rate = 1.0 if row["framework"] == "torch" else 0.5
        assert row["exponent"] == pytest.approx(2) and row["gflops"] == pytest.approx(rate)
        assert row["matmul_gflops"] == pytest.approx(4 * rate) and row["share"] == pytest.approx(0.25)
    paths = plot_growth(rows, tmp_path)
    assert [path.name for path in paths] == ["growth_model_image_side.svg"]
    assert paths[0].read_text().count("exponent 2.00") == 2
    assert fit_exponent([3], [1.0]) is None


def measured(tasks, seconds, cpu_seconds):
    """A framework's figures where each task took so long."""
    facts = {task: {"batch": 1, "inside": "all"} for task in tasks}
    times = {"seconds": {task: seconds for task in tasks}, "cpu_seconds": {task: cpu_seconds for task in tasks}}
    return {**times, "facts": facts, "threads": 1, "peak_mib": 512.0, "detections": 100}


MISSING = {"error": "PyTorch is not installed"}


def test_the_table_gives_ratios_to_the_first_that_runs():
    tasks = TASKS["yolact_tiny"]
    # The second round was disturbed, which leaves the ratios alone.
    found = {
        "jittor": measured(tasks, [0.1, 0.4, 0.2], [1, 1, 1]),
        "mindspore": measured(tasks, [0.25, 1.0, 0.9], [2, 3, 3]),
    }
    lines = make_table({"torch": MISSING, **found}).splitlines()
    assert lines[0] == "not run: torch: PyTorch is not installed"
    assert lines[1].split() == ["jittor", "ms", "jittor", "cpu", "mindspore", "cpu"]
    for line, task in zip(lines[2:], tasks, strict=False):
        assert line.removeprefix(task).split() == ["200.0", "1.00", "1.00", "2.50", "3.00"]
    assert [line.split()[-2:] for line in lines[-2:]] == [["512", "512"], ["100", "100"]]
    assert make_table({"torch": MISSING}) == "not run: torch: PyTorch is not installed"
    rows = make_speed_table({"yolact_tiny": {"torch": MISSING, **found}}, {"yolact_tiny": "128 pixels"}, 2).rows
    last = rows[-1]
    assert (last["framework"], last["task"], last["size"]) == ("mindspore", tasks[-1], "128 pixels")
    assert (last["ms"], last["low"], last["high"], last["cpu_ms"]) == pytest.approx((900, 575, 950, 3000))
    assert (last["ratio"], last["cpu_ratio"], last["threads"]) == (2.5, 3.0, 1)


def test_post_processing_is_what_an_inference_takes_beside_the_forward_pass():
    settings = load_settings("mask_rcnn_tiny")
    figures = measured(["whole inference, batch 1", FORWARD], [0.5, 0.75], [0.5, 0.75])
    figures["seconds"][FORWARD] = [0.25, 0.75]
    add_post_processing({"torch": figures, "jittor": MISSING}, settings)
    assert figures["seconds"][POST_PROCESSING] == [0.25, 0.0]
    lines = make_table({"torch": figures}).splitlines()
    assert lines[1].startswith(FORWARD)
    # There is no ratio to nothing.
    assert lines[2].removeprefix(POST_PROCESSING).split() == ["125.0", "-", "-"]


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
