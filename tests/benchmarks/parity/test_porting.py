"""docs/porting.md holds: its code and its commands are run as they stand there, and print what it says they print."""

import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/porting.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def conversation() -> list[tuple[str, str]]:
    """(command, what it prints) of the page's console, in its order."""
    return re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", "".join(blocks("console")), re.MULTILINE)


def shape(printed: str) -> list[str]:
    """The lines without their numbers, whose last digits are the machine's, and without the spaces that align them."""
    without = re.sub(r"[-+]?\d[\d.]*(e[-+]?\d+)?%?", "#", printed)
    return [" ".join(line.split()) for line in without.splitlines() if line.strip()]


def in_folder(folder: Path, command: str) -> tuple[int, str]:
    """(exit code, stdout) of a command in a folder, with this interpreter as `python`."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True)
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def example(tmp_path_factory) -> Path:
    """A folder with the page's scripts, and what the first two of them write."""
    folder = tmp_path_factory.mktemp("example")
    (folder / "bin").mkdir()
    (folder / "bin/python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (folder / "bin/python").chmod(0o755)
    for block in blocks("python"):
        name = re.match(r"# (\w+\.py)\n", block)
        if name:
            (folder / name[1]).write_text(block)
    assert in_folder(folder, "python reference.py && python port.py") == (0, "")
    return folder


@pytest.fixture
def folder(example, tmp_path) -> Path:
    """The example, to be changed."""
    return shutil.copytree(example, tmp_path / "example")


@pytest.fixture
def run(folder):
    return partial(in_folder, folder)


@pytest.mark.slow
def test_the_page_says_what_its_commands_print(run):
    comparisons = []
    for command, printed in conversation():
        code, answer = run(command)
        assert shape(answer) == shape(printed), f"{command}\n{answer}"
        if "benchmarks.parity" in command:
            comparisons.append((code, re.findall(r"first at (\w+) .*\n\s+how: ([\w ]+)", answer)))
        else:
            assert code == 0
    assert comparisons == [
        (1, [("norm", "scale by channel")]),
        (1, [("resize", "noise")]),
        (0, []),
    ]


@pytest.mark.slow
def test_a_layer_alone_departs_for_its_own_fault(run, folder):
    assert run("python alone.py") == (0, "")
    code, answer = run("python -m benchmarks.parity --against mine --reference reference --output told")
    assert code == 1 and "5 of 5 layers matched: 5 by path" in answer
    findings = json.loads((folder / "told/against.json").read_text())["runs"][0]["findings"]
    roles = {finding["name"]: finding["role"] for finding in findings}
    assert roles == {"conv": "", "norm": "", "relu": "", "resize": "cause", "linear": ""}


def test_the_map_of_the_page_fits_the_example(run, folder):
    (folder / "mine/map.json").write_text(*blocks("json"))
    code, answer = run("python -m benchmarks.parity --against mine --reference reference")
    assert code == 1 and "3 by path, 2 by map" in answer and "first at norm" in answer


def test_another_input_ends_in_one_line(folder, run):
    port = (folder / "port.py").read_text().replace("image=image", "image=image[:, ::-1]")
    (folder / "port.py").write_text(port)
    run("python port.py")
    code, answer = run("python -m benchmarks.parity --against mine --reference reference 2>&1")
    assert code == 2 and len(answer.splitlines()) == 1
    assert "'image' is not the reference's" in answer and "channels permuted" in answer


@pytest.mark.slow
def test_a_port_of_a_model_is_given_its_inputs_and_weights(tmp_path):
    (tmp_path / "bin").mkdir()
    parity = f"{sys.executable} -m benchmarks.parity yolact_tiny --against mine --output parity 2>&1"
    code, answer = in_folder(tmp_path, parity)
    assert code == 2
    assert "give your port parity/yolact_tiny/reference/inputs.npz and parity/yolact_tiny/weights.safetensors" in answer
    made = tmp_path / "parity/yolact_tiny"
    trace = f"{sys.executable} -m torch_impl.trace yolact_tiny --weights {made / 'weights.safetensors'} --layers"
    assert in_folder(tmp_path, f"{trace} --inputs {made / 'reference/inputs.npz'} --outputs traced.npz 2>&1")[0] == 0
    port = dict(np.load(tmp_path / "traced.npz")) | dict(np.load(made / "reference/inputs.npz"))
    port["layer.head.trunk@2"] *= -1
    (tmp_path / "mine").mkdir()
    np.savez(tmp_path / "mine/outputs.npz", **port)
    code, answer = in_folder(tmp_path, parity)
    assert code == 1 and re.search(r"(\d+) of \1 layers matched: \1 by path", answer), answer
    assert "FAILED 1 " in answer and "first at head.trunk@2 (Conv;" in answer
