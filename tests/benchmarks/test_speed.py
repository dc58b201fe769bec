"""The benchmark of the models' speed measures what it says, and says in one line what it cannot run."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.speed import table, tasks

ROOT = Path(__file__).parents[2]


def speed(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "benchmarks.speed", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_every_task_is_measured_as_often_as_asked(tmp_path):
    done = speed("yolact_tiny", "--frameworks", "torch", "--warmup", 0, "--repetitions", 2, "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "speed.json").read_text())["yolact_tiny"]["torch"]
    for quantity in ("seconds", "cpu_seconds"):
        assert list(found[quantity]) == tasks()
        assert all(len(values) == 2 and min(values) > 0 for values in found[quantity].values())
    assert found["detections"] > 50  # otherwise suppression and masks would have nothing to do
    assert found["peak_mib"] > 100
    assert all(task in done.stdout for task in tasks())


def test_the_table_gives_ratios_to_the_first_that_runs():
    def measured(seconds, cpu_seconds):
        times = {"seconds": {task: seconds for task in tasks()}, "cpu_seconds": {task: cpu_seconds for task in tasks()}}
        return {**times, "peak_mib": 512.0, "detections": 100}

    missing = {"error": "PyTorch is not installed"}
    # The second round was disturbed, which leaves the ratios alone.
    found = {"jittor": measured([0.1, 0.4, 0.2], [1, 1, 1]), "mindspore": measured([0.25, 1.0, 0.9], [2, 3, 3])}
    lines = table({"torch": missing, **found}).splitlines()
    assert lines[0] == "not run: torch: PyTorch is not installed"
    assert lines[1].split() == ["jittor", "ms", "jittor", "cpu", "mindspore", "cpu"]
    for line, task in zip(lines[2:], tasks(), strict=False):
        assert line.removeprefix(task).split() == ["200.0", "1.00", "1.00", "2.50", "3.00"]
    assert [line.split()[-2:] for line in lines[-2:]] == [["512", "512"], ["100", "100"]]
    assert table({"torch": missing}) == "not run: torch: PyTorch is not installed"


def test_what_is_unknown_is_named_in_one_line():
    for arguments, word in (
        (("yolact_tiny", "--frameworks", "torch,keras"), "keras"),
        (("yolact_huge",), "yolact_huge"),
    ):
        done = speed(*arguments)
        assert done.returncode == 2
        assert word in done.stderr and len(done.stderr.splitlines()) == 1
