"""`triseg parity --reference A --against B` needs no framework, and tells continuous integration by its exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.foreign.small_training import record_reference, record_training

ROOT = Path(__file__).parents[3]
# Whatever is no base dependency looks as if it were not installed.
BARE = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
from triseg.__main__ import run
run()
"""
MISSING = {"torch", "torchvision", "jittor", "mindspore", "transformers", "jinja2", "matplotlib"}


@pytest.fixture(scope="module")
def dumps(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dumps")
    record_reference(folder / "reference", steps=2)
    record_training(folder / "port", steps=2)
    record_training(folder / "wrong", steps=2, momentum=0.5)
    return folder


def parity(folder: Path, *words: str, missing: set[str] = MISSING) -> tuple[int, str, str]:
    command = [sys.executable, "-c", BARE.format(missing=sorted(missing)), "parity", "--reference", "reference", *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_a_right_port_passes_without_any_framework(dumps, tmp_path):
    code, out, error = parity(dumps, "--against", "port", "--output", str(tmp_path))
    assert (code, error) == (0, "")
    assert "not judged, as neither dump has anything for it: preparation of the image" in out
    assert "no page" in out and "pip install jinja2" in out
    told = json.loads((tmp_path / "parity.json").read_text())
    assert told["passed"] is True and told["not_judged"] == {"0": "neither dump has anything for it"}
    assert told["not_held"] == []
    assert not (tmp_path / "parity.html").exists()


def test_a_wrong_port_fails_and_has_a_page(dumps, tmp_path):
    code, out, _ = parity(
        dumps, "--against", "wrong", "--output", str(tmp_path), missing={"torch", "jittor", "mindspore"}
    )
    assert code == 1 and "momentum 0.5" in out
    assert json.loads((tmp_path / "parity.json").read_text())["runs"][0]["first"]["gate"] == 4
    assert "momentum 0.5" in (tmp_path / "parity.html").read_text()
    assert parity(dumps, "--against", "wrong", "--gates", "1", "2", "3")[0] == 0


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("--against", "nowhere"), "dump not found: nowhere"),
        (("--against", "port", "--tolerance", "2"), "--tolerance 2: above 0 and at most 0.05"),
        ((), "--reference is one of two dumps"),
    ],
)
def test_bad_input_gets_one_line(dumps, words, answer):
    code, out, error = parity(dumps, *words)
    assert (code, out) == (2, "") and answer in error and len(error.splitlines()) == 1
