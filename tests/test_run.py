"""The test command itself: its last line is the truth, a process that runs nothing is a failure, two run at a time."""

import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

from tests import run as runner
from tests.groups import FRAMEWORKS, group_of, groups
from tests.touched import Process

ROOT = Path(__file__).parents[1]
FILE = "tests/wings/test_device.py"


def run(*pytest_arguments: str) -> tuple[int, str]:
    """(exit code, last line) of the test command for one process, which looks into one file alone."""
    command = [sys.executable, "-m", "tests.run", "--only", "torch", "--group", "shared", "--", FILE, *pytest_arguments]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return answer.returncode, answer.stdout.splitlines()[-1]


def test_what_passes_is_counted():
    assert run("-k", "test_the_cpu_is_always_there") == (0, "1 passed, 0 failed, 0 skipped")


def test_a_process_without_tests_fails():
    assert run("-k", "no_such_test_anywhere") == (1, "0 passed, 1 failed, 0 skipped")


def test_a_process_that_dies_fails():
    assert run("--no-such-option") == (1, "0 passed, 1 failed, 0 skipped")


def test_two_processes_run_at_a_time_and_one_of_jittor(monkeypatch):
    """Each waits until another one runs beside it, as long as there is one that may."""
    running: list[Process] = []
    seen: list[tuple[Process, ...]] = []
    change = threading.Condition()
    meeting = threading.Barrier(2)

    def pretend(process: Process, files: list[str], quick: bool, extra: list[str]) -> runner.Outcome:
        with change:
            running.append(process)
            seen.append(tuple(running))
        meeting.wait(timeout=60)
        with change:
            running.remove(process)
        return runner.Outcome(Counter(passed=1))

    monkeypatch.setattr(runner, "run", pretend)
    # As many of Jittor as of the others: they meet in pairs.
    processes = [Process(framework, group) for framework in ("jittor", "torch") for group in groups()]
    outcomes = runner.run_all({process: [] for process in processes}, False, [])
    assert list(outcomes) == processes
    assert max(map(len, seen)) == 2
    assert all(sum(process.framework == "jittor" for process in together) <= 1 for together in seen)


def test_the_quick_tests_of_a_framework_share_a_process():
    assert runner.choose_processes(FRAMEWORKS, None, quick=True) == [Process(framework) for framework in FRAMEWORKS]
    assert runner.choose_processes(["torch"], ["yolact"], quick=True) == [Process("torch", "yolact")]
    assert len(runner.choose_processes(["numpy", "torch"], None, quick=False)) == 1 + len(groups())


def test_a_test_belongs_to_the_group_that_it_speaks_of():
    assert group_of("wings/test_yolact_maths.py", "test_x", {}) == "yolact"
    assert group_of("wings/test_parity.py", "test_x[a]", {"a": Path("mask_rcnn_tiny")}) == "mask_rcnn"
    assert group_of("goldens/test_goldens.py", "test_golden_case[pose2seg_loss]", {}) == "pose2seg_goldens"
    assert group_of("goldens/test_goldens.py", "test_golden_case[roi_align]", {}) == "shared"
    assert {"shared", "yolact", "yolact_goldens"} <= set(groups()) and "numpy" in FRAMEWORKS
