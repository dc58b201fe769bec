"""A fresh clone in a fresh environment, without any framework: it installs, and says what is missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HELPFUL = [
    f"{wing}.{command}"
    for wing in ("torch_impl", "jittor_impl", "mindspore_impl")
    for command in ("train", "evaluate", "predict", "trace")
] + ["common.data.shapes", "common.data.check", "weights_convert"]

# What prints the names of the models.
LISTED = (
    "from common.config import model_names; from common.models import load_settings; "
    "print([load_settings(name).model for name in model_names()])"
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """Runs `python ARGUMENTS` of a new environment that holds the package and its core dependencies."""
    folder = tmp_path_factory.mktemp("setup")
    subprocess.run(["git", "clone", "--quiet", "--depth=1", f"file://{ROOT}", str(folder / "clone")], check=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    python = folder / "venv/bin/python"
    # Elsewhere than in the clone: what runs below is what was installed.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = [str(python), *arguments]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)

    installed = run("-m", "pip", "install", "--quiet", str(folder / "clone"))
    assert installed.returncode == 0, installed.stderr
    return run


def test_the_doctor_names_every_missing_framework(fresh):
    answer = fresh("-m", "common.doctor")
    assert answer.returncode == 0, answer.stderr
    for extra in ("torch", "jittor", "mindspore"):
        assert f'not installed (pip install ".[{extra}]")' in answer.stdout


def test_the_settings_are_installed(fresh):
    answer = fresh("-c", LISTED)
    assert "yolact_tiny" in answer.stdout, answer.stderr


@pytest.mark.parametrize("command", HELPFUL)
def test_help_needs_no_framework(fresh, command):
    answer = fresh("-m", command, "--help")
    assert answer.returncode == 0, answer.stderr
    assert "usage:" in answer.stdout


@pytest.mark.parametrize(("wing", "extra"), [("torch_impl", "torch"), ("jittor_impl", "jittor")])
def test_a_missing_framework_is_one_line(fresh, tmp_path, wing, extra):
    made = fresh("-m", "common.data.shapes", str(tmp_path / "shapes"), "--images", "4", "--seed", "0")
    assert made.returncode == 0, made.stderr
    arguments = ["yolact_tiny", "--data", str(tmp_path / "shapes"), "--output", str(tmp_path / "run")]
    answer = fresh("-m", f"{wing}.train", *arguments)
    assert answer.returncode == 2
    assert answer.stderr.splitlines()[-1].startswith("error: ")
    assert f'pip install ".[{extra}]"' in answer.stderr
    assert "Traceback" not in answer.stderr
