"""The test command itself: its last line is the truth, and a process that runs nothing is a failure."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(*pytest_arguments: str) -> tuple[int, str]:
    """(exit code, last line) of the test command for one process."""
    command = [sys.executable, "-m", "tests.run", "--only", "torch", "--group", "shared", "--", *pytest_arguments]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return answer.returncode, answer.stdout.splitlines()[-1]


def test_what_passes_is_counted():
    assert run("-k", "test_the_cpu_is_always_there") == (0, "1 passed, 0 failed, 0 skipped")


def test_a_process_without_tests_fails():
    assert run("-k", "no_such_test_anywhere") == (1, "0 passed, 1 failed, 0 skipped")


def test_a_process_that_dies_fails():
    assert run("--no-such-option") == (1, "0 passed, 1 failed, 0 skipped")
