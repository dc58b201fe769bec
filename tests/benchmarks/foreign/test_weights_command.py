"""`python -m benchmarks.parity --weights A B`, from its arguments to its exit code."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from benchmarks.foreign.weights import run_weights
from benchmarks.parity import __main__ as parity
from common.errors import UserError
from weights_convert import writers
from weights_convert.mindspore_names import to_mindspore

ROOT = Path(__file__).parents[3]
SHAPES = {"conv.weight": (6, 3, 3, 3), "conv.bias": (6,), "fc.weight": (5, 6)}
SHAPES |= {f"norm.{leaf}": (6,) for leaf in ("weight", "bias", "running_mean", "running_var")}
WEIGHTS = {name: np.random.default_rng(len(name)).standard_normal(shape, np.float32) for name, shape in SHAPES.items()}
WRITERS = {
    "plain.pth": lambda path: writers.write_pth(path, WEIGHTS),
    "trainer.pth": lambda path: writers.write_pth(path, {f"module.{n}": a for n, a in WEIGHTS.items()}, "state_dict"),
    "jittor.pkl": lambda path: writers.write_jittor(path, WEIGHTS),
    "mindspore.ckpt": lambda path: writers.write_mindspore(path, to_mindspore(WEIGHTS)),
    "numpy.npz": lambda path: np.savez(path, **WEIGHTS),
    "plain.safetensors": lambda path: save_file(WEIGHTS, path),
}


@pytest.fixture
def files(tmp_path):
    for name, write in WRITERS.items():
        write(tmp_path / name)
    return tmp_path


@pytest.fixture
def run(monkeypatch):
    """run(*arguments): the exit code of the command."""

    def main(*arguments):
        monkeypatch.setattr(sys, "argv", ["parity", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            parity.main()
        return ended.value.code

    return main


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file_is_read_and_known_to_be_the_same(files, run, capsys, name):
    assert run("--weights", files / "plain.pth", files / name) == 0
    title = name if name != "plain.pth" else str(files / name)
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith(f"{title} has the weights of ") and first.endswith(": 7 arrays agree")


def test_the_verdict_comes_first_and_a_program_can_read_it(files, run, capsys):
    port = {name: array for name, array in WEIGHTS.items() if name != "fc.weight"}
    np.savez(files / "port.npz", **port | {"conv.bias": port["conv.bias"] * 2, "more.weight": np.ones((2, 2))})
    assert run("--weights", files / "plain.pth", files / "port.npz", "--output", files / "out") == 1
    lines = capsys.readouterr().out.splitlines()
    verdict = (
        "port.npz does not have the weights of plain.pth: 1 array differs, 1 is missing, 1 is extra; 5 arrays agree"
    )
    assert lines[0] == verdict
    assert lines[2:5] == ["differs (1):", "  conv.bias, by name", "    how: scale: 2 times the reference"]
    assert "missing (1): fc.weight" in lines and "extra (1): more.weight" in lines
    report = json.loads((files / "out/weights.json").read_text())
    assert (report["passed"], report["verdict"]) == (False, verdict)
    found = {tuple(each["ours"] + each["theirs"]): each for each in report["found"]}
    assert found["conv.bias", "conv.bias"]["pattern"] == "scale" and found["fc.weight",]["verdict"] == "missing"


def test_a_condition_stands_in_the_verdict(files, run, capsys):
    np.savez(files / "bgr.npz", **WEIGHTS | {"conv.weight": WEIGHTS["conv.weight"][:, ::-1]})
    assert run("--weights", files / "plain.pth", files / "bgr.npz") == 0
    first = capsys.readouterr().out.splitlines()[0]
    condition = "if its network takes the image's channels in the reverse order"
    assert first == f"bgr.npz has the weights of plain.pth: 7 arrays agree, {condition}"


def test_what_is_not_finite_can_be_written(files, run):
    np.savez(files / "port.npz", **WEIGHTS | {"conv.bias": np.full(6, np.nan, np.float32)})
    assert run("--weights", files / "plain.pth", files / "port.npz", "--output", files / "out") == 1
    found = json.loads((files / "out/weights.json").read_text())["found"]
    assert [each["cosine"] for each in found if each["verdict"] == "differs"] == ["nan"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--weights", "a.pth", "b.pth"], "checkpoint not found: a.pth"),
        (["--weights", "a.pth"], "--weights are those of one MODEL: name it, or give two files"),
        (["--weights", "a.pth", "b.pth", "c.pth"], "one file of a MODEL, or two files and no MODEL: not a.pth b.pth c"),
        (["yolact_tiny", "--weights", "a.pth", "b.pth"], "two files and no MODEL: not yolact_tiny a.pth b.pth"),
        (["--weights", "a.pth", "b.pth", "--data", "d"], "two files alone: not with --against, --reference or --data"),
        (["--weights", "a.pth", "yolact_tiny"], "checkpoint not found: a.pth"),  # the model's weights
    ],
)
def test_bad_arguments_get_one_line(monkeypatch, arguments, line):
    monkeypatch.setattr(sys, "argv", ["parity", *arguments])
    with pytest.raises(UserError) as error:
        parity.main()
    assert line in str(error.value)


def test_a_damaged_file_is_named(files):
    (files / "broken.pth").write_bytes((files / "plain.pth").read_bytes()[:300])
    with pytest.raises(UserError, match=r"broken\.pth"):
        run_weights(files / "plain.pth", files / "broken.pth")


def test_no_framework_is_imported(files):
    code = "import sys; from benchmarks.foreign.weights import run_weights; from pathlib import Path\n"
    code += "assert run_weights(Path(sys.argv[1]), Path(sys.argv[2])) == 0\n"
    code += "print(sorted({'torch', 'jittor', 'mindspore', 'matplotlib', 'jinja2'} & set(sys.modules)))"
    command = [sys.executable, "-c", code, files / "plain.pth", files / "mindspore.ckpt"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr


def test_the_page_shows_what_is_printed(tmp_path, run, capsys):
    """docs/porting.md has an example, whose files are these."""
    shapes = {"conv1.weight": (8, 3, 7, 7), **{f"bn1.{name.rpartition('.')[2]}": (8,) for name in list(SHAPES)[3:]}}
    shapes |= {"attn.qkv.weight": (24, 8), "attn.qkv.bias": (24,), "attn.proj.weight": (8, 8), "mlp.weight": (16, 8)}
    rng = np.random.default_rng(0)
    drawn = {n: rng.standard_normal(shape, np.float32) for n, shape in (shapes | {"fc.weight": (5, 16)}).items()}
    drawn["bn1.running_var"] = np.abs(drawn["bn1.running_var"])
    writers.write_pth(tmp_path / "original.pth", drawn)
    mine = to_mindspore(drawn)
    for leaf in ("weight", "bias"):
        parts = np.split(mine.pop(f"attn.qkv.{leaf}"), 3)
        mine |= {f"attn.{word}.{leaf}": part for word, part in zip("qkv", parts, strict=True)}
    mine |= {"conv1.weight": mine["conv1.weight"][:, ::-1], "attn.proj.weight": mine["attn.proj.weight"].T}
    mine["bn1.moving_variance"] = np.ones(8, np.float32)
    writers.write_mindspore(tmp_path / "mine.ckpt", {f"network.{name}": array for name, array in mine.items()})
    assert run("--weights", tmp_path / "original.pth", tmp_path / "mine.ckpt") == 1
    page = (ROOT / "docs/porting.md").read_text()
    assert f"```\n$ triseg parity --weights original.pth mine.ckpt\n{capsys.readouterr().out}```\n" in page
