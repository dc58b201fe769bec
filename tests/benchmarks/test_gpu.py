"""The script for a GPU runs through without one, says what it skipped, and does not pass over what breaks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu.page import has_failed, page
from benchmarks.gpu.parts import PARTS
from benchmarks.gpu.report import Report
from common.errors import UserError

ROOT = Path(__file__).parents[2]


def gpu(*arguments, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "benchmarks.gpu", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False)


def results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text())["parts"]


def test_without_a_gpu_it_says_what_it_skipped(tmp_path):
    done = gpu(tmp_path, CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 0, done.stderr
    found = results(tmp_path)
    assert list(found) == [part.name for part in PARTS]
    assert found["machine"]["state"] == "done"
    assert {part["state"] for part in found.values()} == {"done", "skipped: PyTorch sees no GPU here"}
    assert (tmp_path / "page.md").read_text() == done.stdout.removesuffix("\n")
    assert "a machine without a GPU" in done.stdout


@pytest.mark.slow
def test_parts_that_find_no_time_are_left_out(tmp_path):
    done = gpu(tmp_path, "--device", "cpu", "--small", "--minutes", 0.1, "--parts", "speed_pose2seg,jittor")
    assert done.returncode == 0, done.stderr
    assert [part["state"] for part in results(tmp_path).values()] == ["done", *["left out: no time left"] * 2]


def test_an_unknown_part_is_named(tmp_path):
    done = gpu(tmp_path, "--parts", "machine,weather")
    assert done.returncode == 2
    assert "weather" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_the_parts_run_on_the_cpu_too(tmp_path):
    """The device's side without the compiled kernels there, so that two ways are compared."""
    names = ["goldens", "training_mask_rcnn", "operators", "resuming", "speed_yolact_resnet50", "profile"]
    done = gpu(tmp_path, "--device", "cpu", "--small", "--minutes", 12, "--parts", ",".join(names))
    assert done.returncode == 0, done.stdout
    found = results(tmp_path)
    assert {part["state"] for part in found.values()} == {"done"}
    assert {name for name, part in found.items() if part["checks"]} == set(names[:4])
    assert all(part["tables"] for part in found.values())


@pytest.fixture
def report(tmp_path):
    return Report(tmp_path / "part.json")


def page_of(report: Report) -> tuple[str, bool]:
    part = {"title": "Weather", "state": "done", "seconds": 1.0} | report.content
    whole = {"minutes": 1, "device": "cuda", "small": False, "seconds": 1.0, "parts": {"weather": part}}
    return page(whole), has_failed(whole)


@pytest.mark.parametrize("value", [2e-3, float("nan"), float("inf")])
def test_what_is_too_far_apart_fails(report, value, tmp_path):
    report.check("rain", 1e-4, 1e-3)
    assert not page_of(report)[1]
    report.check("snow", value, 1e-3)
    text, failed = page_of(report)
    assert failed and "Weather: snow" in text and "Weather: rain" not in text
    assert json.loads((tmp_path / "part.json").read_text()) == report.content


def test_what_breaks_is_told_and_the_part_goes_on(report):
    with report.attempt("wind"):
        raise ValueError("too strong")
    with report.attempt("hail"):
        raise UserError("not measured: no hail here")
    report.add("sun", hours=3)
    text, failed = page_of(report)
    assert failed and "Weather: wind: ValueError: too strong" in text
    assert "hail: not measured: no hail here" in text and "| 3 |" in text
