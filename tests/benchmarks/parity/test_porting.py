"""docs/porting.md holds: its code and its commands are run as they stand there, and print what it says they print."""

import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmarks.foreign.rules import read_rules

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


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with the page's scripts, and its commands."""
    (tmp_path / "bin").mkdir()
    for name, words in (("python", ""), ("triseg", " -m triseg")):
        (tmp_path / "bin" / name).write_text(f'#!/bin/sh\nexec {sys.executable}{words} "$@"\n')
        (tmp_path / "bin" / name).chmod(0o755)
    for block in blocks("python"):
        name = re.match(r"# (\w+\.py)\n", block)
        if name:
            (tmp_path / name[1]).write_text(block)
    return tmp_path


@pytest.fixture
def run(folder):
    return partial(in_folder, folder)


@pytest.mark.slow
def test_the_page_says_what_its_commands_print(run):
    comparisons = []
    for command, printed in conversation():
        code, answer = run(command)
        assert shape(answer) == shape(printed), f"{command}\n{answer}"
        if command.startswith("triseg"):
            comparisons.append((code, re.findall(r"first at ([\w. ]+)", answer)))
        else:
            assert code == 0
    assert comparisons == [
        (1, ["image "]),
        (1, ["norm "]),
        (1, ["activity "]),
        (1, ["conv.weight "]),
        (1, ["update of conv.bias"]),
        (0, []),
        (1, ["encoder.stages.1.layers.0.layer.0.convolution "]),
        (1, ["pooler "]),
        (0, []),
    ]


@pytest.mark.slow
def test_a_layer_alone_departs_for_its_own_fault(run, folder):
    assert run("python reference.py && python alone.py") == (0, "")
    code, _ = run("triseg parity --reference reference --against mine --output told")
    assert code == 1
    findings = json.loads((folder / "told/parity.json").read_text())["runs"][0]["findings"]
    roles = {finding["name"]: finding["role"] for finding in findings if finding["gate"] == 1}
    assert roles == {"conv": "", "norm": "cause", "relu": "", "linear": ""}


def test_the_rules_of_the_page_are_rules(tmp_path):
    (tmp_path / "map.json").write_text(*blocks("json"))
    read_rules(tmp_path / "map.json")


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
    assert code == 1 and re.search(r"layers: (\d+) of \1 paired: \1 by path", answer), answer
    assert "FAILED 1 " in answer and "first at head.trunk@2 (Conv;" in answer
