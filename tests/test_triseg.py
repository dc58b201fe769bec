"""The console command: it finds each command, chooses the framework, and answers what it does not know in one line."""

import subprocess
import sys
from pathlib import Path

import pytest

from triseg.__main__ import COMMANDS, FRAMEWORKS, chosen_framework

ROOT = Path(__file__).parents[1]


def triseg(*arguments: str) -> subprocess.CompletedProcess:
    """`triseg ARGUMENTS` in a process of its own."""
    command = [sys.executable, "-m", "triseg", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_help_maps_every_command():
    answer = triseg("--help")
    assert answer.returncode == 0, answer.stderr
    assert all(f"  {name}" in answer.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name):
    answer = triseg(name, "--help")
    assert answer.returncode == 0, answer.stderr
    assert "usage:" in answer.stdout


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_framework_is_the_one_asked_for(framework):
    answer = triseg("train", "--framework", framework, "--help")
    assert f"python -m {framework}_impl.train" in answer.stdout, answer.stderr


def test_the_option_may_stand_anywhere():
    assert chosen_framework(["yolact_tiny", "--framework=jittor", "--seed", "1"]) == (
        "jittor",
        ["yolact_tiny", "--seed", "1"],
    )


def test_pytorch_comes_first():
    assert chosen_framework(["yolact_tiny"]) == ("torch", ["yolact_tiny"])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["fly"], "fly"), (["train", "--framework", "keras"], "keras"), (["train", "--framework"], "--framework")],
)
def test_what_is_not_known_is_one_line(arguments, named):
    answer = triseg(*arguments)
    assert answer.returncode == 2
    assert answer.stderr.startswith("error: ") and len(answer.stderr.splitlines()) == 1
    assert named in answer.stderr


def test_bad_input_behind_it_is_one_line(tmp_path):
    answer = triseg("check", str(tmp_path / "nothing"))
    assert answer.returncode == 2
    assert answer.stderr.splitlines()[-1].startswith("error: ")
