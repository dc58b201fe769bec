"""A wing's commands as somebody calls them: what is wrong is one line and exit code 2, and nothing is written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WRONG = {
    "train": ["--data=absent", "--output=run"],
    "evaluate": ["--data=absent", "--weights=absent.pth", "--output=results"],
    "predict": ["absent.png", "--weights=absent.pth", "--output=out.png"],
    "trace": ["--inputs=absent.npz", "--weights=absent.pth", "--outputs=out.npz"],
}


@pytest.mark.parametrize("command", WRONG)
def test_bad_input_is_one_line(framework, tmp_path, command):
    program = [sys.executable, "-m", f"{framework}_impl.{command}", "yolact_tiny", *WRONG[command]]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert "absent" in done.stderr and not list(tmp_path.iterdir())
