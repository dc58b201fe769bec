"""`python -m weights_convert`, and what `--weights` opens."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common import weights as canonical
from common.errors import UserError, run_command
from common.models import load_settings
from common.weights import compare_weights
from tests.weights_convert.originals import canonical_shapes, layout
from weights_convert import __main__ as command
from weights_convert import convert, open_weights, read_foreign
from weights_convert.writers import write_jittor, write_mindspore, write_pth

ROOT = Path(__file__).parents[2]


@pytest.fixture
def official(tmp_path, tiny_original) -> Path:
    path = tmp_path / "yolact_tiny_54_800000.pth"
    write_pth(path, tiny_original)
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A checkpoint that three variants share the shapes of."""
    path = tmp_path_factory.mktemp("base") / "mine.pth"
    write_pth(path, {e.original: np.zeros(e.shape, np.float32) for e in layout(load_settings("yolact_base"))})
    return path


@pytest.fixture
def run(monkeypatch, capsys):
    """run(words ...): the lines that the command prints."""

    def run(*words) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["weights_convert", *map(str, words)])
        command.main()
        return capsys.readouterr().out.splitlines()

    return run


def test_through_every_format_and_back(run, official, tmp_path, tiny_original, tiny_weights):
    lines = run(official, tmp_path / "tiny.safetensors")
    assert lines[0] == f"{official}: yolact_tiny, iteration 800000, 121 arrays of 1.0 M numbers"
    assert lines[1] == f"{tmp_path / 'tiny.safetensors'}: written for canonical, read back and compared"
    assert compare_weights(canonical.load(tmp_path / "tiny.safetensors")[0], tiny_weights) == ""
    first = tmp_path / "tiny.safetensors"
    for name, target in (("a.pth", "torch"), ("b.pkl", None), ("c.ckpt", None), ("d.safetensors", None)):
        run(first, tmp_path / name, *(["--to", target] if target else []))
        first = tmp_path / name
    run(first, tmp_path / "back.pth", "--to", "yolact")
    back = read_foreign(tmp_path / "back.pth")
    assert list(back) == list(tiny_original)
    assert compare_weights(back, tiny_original) == ""


def test_the_card_travels(run, official, tmp_path):
    run(official, tmp_path / "tiny.safetensors")
    card = json.loads((tmp_path / "tiny.json").read_text())
    assert (card["model"], card["iteration"], card["source"]) == ("yolact_tiny", 800000, official.name)
    assert card["sha256"] == canonical.file_sha256(official)
    assert card["classes"] == ["class 1", "class 2", "class 3", "class 4"]
    assert card["preprocessing"]["size"] == 128
    run(tmp_path / "tiny.safetensors", tmp_path / "other.ckpt")
    assert json.loads((tmp_path / "other.json").read_text()) == card
    _, opened = open_weights(tmp_path / "other.ckpt", load_settings("yolact_tiny"))
    assert opened == canonical.load_card(tmp_path / "tiny.safetensors")


def test_the_model_is_found(tmp_path, official, base, tiny_original):
    for name in ("yolact_tiny_1_20_interrupt.pth", "anything.pth"):  # by the file's name, by what the arrays fit
        shutil.copy(official, tmp_path / name)
        assert convert(tmp_path / name)[1].model == "yolact_tiny"
    with pytest.raises(UserError, match="could be yolact_base, yolact_im400, yolact_im700; say which with --model"):
        convert(base)
    card = convert(base, model="yolact_im700_config")[1]
    assert (card.model, card.preprocessing.size) == ("yolact_im700", 700)
    assert card.classes[0] == "person" and card.classes[79] == "toothbrush"
    write_pth(tmp_path / "strange.pth", tiny_original | {"backbone.more": np.zeros(1, np.float32)})
    with pytest.raises(UserError, match="fits no model"):
        convert(tmp_path / "strange.pth")


def test_another_number_of_classes(tmp_path, run):
    settings = load_settings("yolact_tiny", ["num_classes=6"])
    original = {e.original: np.zeros(e.shape, np.float32) for e in layout(settings)}
    write_pth(tmp_path / "yolact_tiny_1_100.pth", original)
    run(tmp_path / "yolact_tiny_1_100.pth", tmp_path / "w.safetensors")
    weights, card = canonical.load(tmp_path / "w.safetensors")
    assert weights["head.classes.bias"].shape == (21,) and len(card.classes) == 6
    run(tmp_path / "w.safetensors", tmp_path / "back.pth", "--to", "yolact")
    assert list(read_foreign(tmp_path / "back.pth")) == list(original)
    del original["semantic_seg_conv.weight"]
    for changed in (original, original | {"semantic_seg_conv.weight": np.zeros((5, 64, 1, 1), np.float32)}):
        write_pth(tmp_path / "yolact_tiny_1_100.pth", changed)
        with pytest.raises(UserError, match=r"missing: semantic_seg_conv\.weight|semantic\.weight \(5"):
            convert(tmp_path / "yolact_tiny_1_100.pth")


@pytest.mark.parametrize(
    ("name", "write"),
    [("w.pth", write_pth), ("w.pkl", write_jittor), ("w.npz", lambda path, w: np.savez(path, **w))],
)
def test_a_frameworks_own_checkpoint_opens(tmp_path, tiny_weights, name, write):
    counters = {"backbone.bn1.num_batches_tracked": np.array(7)}
    write(tmp_path / name, tiny_weights | counters)
    weights, card = open_weights(tmp_path / name, load_settings("yolact_tiny"))
    assert list(weights) == list(canonical_shapes(load_settings("yolact_tiny")))
    assert compare_weights(weights, tiny_weights) == ""
    assert (card.model, card.licence, len(card.classes)) == ("yolact_tiny", "unknown", 4)


def test_mindspores_own_checkpoint_opens(tmp_path, tiny_weights):
    leaves = {"running_mean": "moving_mean", "running_var": "moving_variance"}
    norms = {name.rpartition(".")[0] for name in tiny_weights if name.endswith("running_mean")}

    def named(name: str) -> str:
        path, _, leaf = name.rpartition(".")
        return f"{path}.{(leaves | {'weight': 'gamma', 'bias': 'beta'})[leaf]}" if path in norms else name

    write_mindspore(tmp_path / "w.ckpt", {named(name): array for name, array in tiny_weights.items()})
    weights, _ = open_weights(tmp_path / "w.ckpt", load_settings("yolact_tiny"))
    assert compare_weights(weights, tiny_weights) == ""


def test_half_precision_becomes_float32(tmp_path, tiny_weights):
    write_pth(tmp_path / "w.pth", {name: array.astype(np.float16) for name, array in tiny_weights.items()})
    weights, _ = open_weights(tmp_path / "w.pth", load_settings("yolact_tiny"))
    assert {array.dtype.name for array in weights.values()} == {"float32"}
    write_pth(tmp_path / "w.pth", tiny_weights | {"semantic.bias": np.zeros(4, np.int64)})
    with pytest.raises(UserError, match=r"semantic\.bias is int64"):
        open_weights(tmp_path / "w.pth", load_settings("yolact_tiny"))


def test_the_files_name_counts_where_shapes_do_not_tell(tmp_path, base):
    os.link(base, tmp_path / "yolact_im400_54_800000.pth")
    settings = load_settings("yolact_base")
    _, card = open_weights(tmp_path / "yolact_im400_54_800000.pth", settings)
    with pytest.raises(UserError, match="these are weights of yolact_im400, not of yolact_base"):
        canonical.check_card(card, settings, "file")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{official}", "out.pth"], "give --to torch or --to yolact"),
        (["{official}", "out.bin"], "give --to, one of canonical"),
        (["{official}", "out.pth", "--to", "jittor"], "a file for jittor ends in .pkl"),
        (["{official}", "out.safetensors", "--model", "yolact_base"], "weights of yolact_tiny, not of yolact_base"),
        (["{official}", "out.safetensors", "--model", "yolact_huge"], "unknown model yolact_huge"),
        (["{official}", "out.safetensors", "--from", "imagenet"], "does not fit yolact_tiny"),
        (["nowhere.pth", "out.safetensors"], "not found: nowhere.pth"),
        (["{truncated}", "out.safetensors"], "damaged"),
        (["{other}", "out.safetensors"], "belong to no known model: encoder.weight"),
    ],
)
def test_bad_input_is_one_line(official, tmp_path, monkeypatch, capsys, words, message):
    truncated, other = tmp_path / "truncated.pth", tmp_path / "other.pth"
    truncated.write_bytes(official.read_bytes()[:100000])
    write_pth(other, {"encoder.weight": np.zeros(2, np.float32)})
    words = [word.format(official=official, truncated=truncated, other=other) for word in words]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["weights_convert", *words])
    with pytest.raises(SystemExit) as ended:
        run_command(command.main)
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and printed.count("\n") == 1
    assert message in printed
    assert not list(tmp_path.glob("out*"))


def test_the_program_answers_bad_input_so(tmp_path):
    program = [sys.executable, "-m", "weights_convert", "nowhere.pth", "out.safetensors"]
    done = subprocess.run(program, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_help_shows_examples():
    program = [sys.executable, "-m", "weights_convert", "--help"]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "yolact_base_54_800000.pth yolact_base.safetensors" in done.stdout


def test_converting_needs_no_framework():
    code = "import weights_convert, sys; print(sorted({'torch', 'jittor', 'mindspore'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n"
