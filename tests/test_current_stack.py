"""PyTorch alone on what a current machine has: NumPy 2, the newest OpenCV, and none of what single commands need."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Imported by single commands, which are not run here.
OPTIONAL = ("hotcoco", "tensorboardX", "supervision")
QUICK = ["tests/contract", "tests/goldens", "tests/wings/test_learner.py", "tests/wings/test_mask_rcnn_training.py"]
# Golden cases of whole networks take long, and the tiny ones run the same code.
LEFT_OUT = ("r50", "resnet50", "base", "darknet53")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """The interpreter of a new environment, with the tested release of PyTorch and all else as new as it comes."""
    folder = tmp_path_factory.mktemp("stack")
    torch = re.search(r"^torch==.+$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[0]
    (folder / "constraints.txt").write_text(f"{torch}\n")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    python = folder / "venv/bin/python"
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    packages = [package for package in packages if not package.startswith(OPTIONAL)]
    command = [python, "-m", "pip", "install", "--quiet", "--constraint", folder / "constraints.txt"]
    done = subprocess.run([*command, *packages, "numpy>=2", "torch", "pytest"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return python


def run(python: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([python, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_it_is_another_stack(python):
    done = run(python, "-c", "import numpy, cv2, torch; print(numpy.__version__, cv2.__version__, torch.__version__)")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split(".")[0]) >= 2
    missing = "; ".join(f"assert not find_spec('{package.replace('-', '_')}')" for package in OPTIONAL)
    assert run(python, "-c", f"from importlib.util import find_spec; {missing}").returncode == 0


def test_the_doctor_finds_pytorch(python):
    line = next(line for line in run(python, "-m", "common.doctor").stdout.splitlines() if line.startswith("PyTorch"))
    assert " on cpu" in line or " on cuda" in line


def test_the_quick_tests_of_the_pytorch_wing_pass(python):
    chosen = " and ".join(f"not {word}" for word in LEFT_OUT)
    done = run(
        python, "-m", "pytest", *QUICK, "--framework", "torch", "-q", "-p", "no:cacheprovider",
        "-m", "not slow", "-k", chosen,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 80
