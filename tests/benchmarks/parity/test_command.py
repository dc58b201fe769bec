"""`python -m benchmarks.parity` from its arguments to its exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# Makes MindSpore look as if it were not installed.
HIDDEN = """
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "mindspore" else find(name, package)
"""


def parity(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "benchmarks.parity", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)


@pytest.mark.slow
def test_the_frameworks_pass_and_one_that_is_missing_does_not(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(HIDDEN)
    arguments = ["yolact_tiny", "--batch-size", 4, "--gates", 1, 2, 3, 5, "--output", tmp_path]
    done = parity(*arguments, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert 'not run: mindspore: MindSpore is not installed: pip install ".[mindspore]"' in done.stdout
    report = json.loads((tmp_path / "yolact_tiny/parity.json").read_text())
    assert report["passed"]
    runs = {run["framework"]: run for run in report["runs"]}
    assert {gate["verdict"] for gate in runs["jittor"]["gates"].values()} == {"passed"}
    assert len(runs["jittor"]["gates"]) == 5  # the first in two modes
    assert runs["mindspore"]["passed"] is None
    assert runs["jittor"]["peak_mib"] > 0
    assert "mindspore" in (tmp_path / "yolact_tiny/parity.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["no_such_model"], "unknown model no_such_model"),
        (["yolact_tiny", "--weights", "missing.pth"], "missing.pth"),
        (["yolact_tiny", "yolact_base", "--weights", "w.pth"], "--weights are those of one MODEL"),
        (["yolact_tiny", "--frameworks", "torch,tensorflow"], "tensorflow: there are torch, jittor, mindspore"),
        (["yolact_tiny", "--data", "missing"], "data folder not found: missing"),
        (["yolact_tiny", "--batch-size", "0"], "--batch-size 0: at least one image"),
        (["yolact_tiny", "--against", "dump"], "--against needs one MODEL and --output"),
        (["--reference", "dump"], "--reference is one of two dumps"),
        (["yolact_tiny", "--gates", "6"], "invalid choice: 6"),
    ],
)
def test_bad_arguments_get_one_line(arguments, line):
    done = parity(*arguments)
    assert done.returncode == 2
    assert line in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
