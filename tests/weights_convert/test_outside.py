"""A family that lives outside of the project: converted without a converter, and with one of its own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import common.families
import weights_convert.families
import weights_convert.upstreams
from common.errors import UserError
from common.models import load_settings
from common.weights import compare_weights, load
from weights_convert import convert, family_of, model_of, open_weights, read_foreign
from weights_convert.conversion import formats, target_formats, write
from weights_convert.writers import write_pth

ROOT = Path(__file__).parents[2]
FAMILY = """
from typing import Literal

from common.config import Preprocessing, Section, Settings
from common.families import Family


class {name}Settings(Settings):
    family: Literal["{name}"]
    preprocessing: Preprocessing
    network: Section


FAMILY = Family(
    network="Blobs",
    settings={name}Settings,
    samples=None,
    losses=None,
    predict=None,
    stages=None,
    results=None,
    initial_weight=None,
)
"""
MODEL = """
family: {name}
num_classes: 3
schedule: {{batch_size: 1, iterations: 1, learning_rate: 0.1}}
preprocessing: {{size: 16, mean: [0, 0, 0], deviation: [1, 1, 1]}}
network: {{}}
"""
CONVERTER = """
from weights_convert.families import FamilyWeights
from weights_convert.finetuning import ClassRows
from weights_convert.state_dicts import conv, norm


def layout(settings):
    yield from conv("net.first", "stem.conv", 4, 3, 3, bias=False)
    yield from norm("net.first_norm", "stem.norm", 4, counter=True)
    yield from conv("net.last", "scores", settings.num_classes, 4, 1)


WEIGHTS = FamilyWeights(
    layouts=lambda settings: {{"{name}_upstream": layout}},
    heads=("scores.",),
    class_heads=lambda settings: {{"scores.": ClassRows()}},
    class_bias="scores.bias",
)
"""
UPSTREAM = """
from weights_convert.formats import state_dict_format

UPSTREAM = state_dict_format(
    name="{name}_upstream",
    endings=(".pth",),
    licence="as its author says",
    recognises=lambda names: "net.first.weight" in names,
)
"""
ENDINGS = {"torch": ".pth", "jittor": ".pkl", "mindspore": ".ckpt", "canonical": ".safetensors"}


def write_family(folder: Path, name: str, converter: bool) -> str:
    """Writes a family's files into a folder for Python's path -> the path of a model of it."""
    files = {f"common/families/{name}/__init__.py": "", f"common/families/{name}/family.py": FAMILY}
    if converter:
        files |= {f"weights_convert/families/{name}.py": CONVERTER}
        files |= {f"weights_convert/upstreams/{name}_upstream.py": UPSTREAM}
    for file, text in (files | {f"{name}_tiny.yaml": MODEL}).items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text.format(name=name))
    return str(folder / f"{name}_tiny.yaml")


@pytest.fixture
def add(monkeypatch, tmp_path):
    """add(name, converter): a model's path, whose family this process finds while the test runs."""

    def add(name: str, converter: bool) -> str:
        model = write_family(tmp_path, name, converter)
        for package in (common.families, weights_convert.families, weights_convert.upstreams):
            folder = tmp_path / package.__name__.replace(".", "/")
            monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
        common.families.family_names.cache_clear()
        return model

    yield add
    monkeypatch.undo()
    common.families.family_names.cache_clear()


def draw(classes: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    shapes = {"stem.conv.weight": (4, 3, 3, 3)}
    shapes |= {f"stem.norm.{leaf}": (4,) for leaf in ("weight", "bias", "running_mean", "running_var")}
    shapes |= {"scores.weight": (classes, 4, 1, 1), "scores.bias": (classes,)}
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def pass_through_the_frameworks(tmp_path: Path, model: str, source: Path, weights: dict[str, np.ndarray]) -> None:
    """Converts from one framework to the next and back to the canonical form; also without the card beside a file."""
    settings = load_settings(model)
    for target, ending in ENDINGS.items():
        found, card = convert(source, model)
        assert compare_weights(found, weights) == "" and card.model == settings.model
        source = tmp_path / f"{target}{ending}"
        write(source, found, card, target, model)
        assert model_of(source) == settings.model
        assert compare_weights(open_weights(source, settings)[0], weights) == ""
        if target != "canonical":
            source.with_suffix(".json").unlink()
            assert compare_weights(open_weights(source, settings)[0], weights) == ""
    assert compare_weights(load(source)[0], weights) == ""


def test_a_family_without_a_converter(add, tmp_path):
    model = add("blobs_alone", converter=False)
    settings, weights = load_settings(model), draw()
    assert list(target_formats(model)) == ["canonical", "torch", "jittor", "mindspore"]
    assert family_of(settings).canonical_shapes(settings) is None
    write_pth(tmp_path / "own.pth", weights | {"stem.norm.num_batches_tracked": np.zeros((), np.int64)})
    pass_through_the_frameworks(tmp_path, model, tmp_path / "own.pth", weights)
    with pytest.raises(UserError, match="blobs_alone_tiny is of no upstream, not of yolact"):
        write(tmp_path / "x.pth", *convert(tmp_path / "own.pth", model), "yolact", model)
    # The network's shapes decide what training can start from.
    shapes = {name: array.shape for name, array in weights.items()}
    assert family_of(settings).fit_for_finetuning(weights, shapes, "own.pth") == (weights, [])
    with pytest.raises(UserError, match=r"of another shape: scores\.bias"):
        family_of(settings).fit_for_finetuning(weights, shapes | {"scores.bias": (4,)}, "own.pth")


def test_a_family_with_a_converter_of_its_own(add, tmp_path):
    model = add("blobs_known", converter=True)
    settings, weights = load_settings(model), draw()
    upstream = formats()["blobs_known_upstream"]
    write_pth(tmp_path / "first.pth", upstream.write(weights, settings, "first"))
    assert "net.first_norm.num_batches_tracked" in read_foreign(tmp_path / "first.pth")
    pass_through_the_frameworks(tmp_path, model, tmp_path / "first.pth", weights)
    write(tmp_path / "back.pth", *convert(tmp_path / "canonical.safetensors", model), "blobs_known_upstream", model)
    back = read_foreign(tmp_path / "back.pth")
    assert list(back) == list(read_foreign(tmp_path / "first.pth"))
    write_pth(tmp_path / "five.pth", upstream.write(draw(5), load_settings(model, ["num_classes=5"]), "five"))
    assert len(convert(tmp_path / "five.pth", model)[1].classes) == 5


def test_the_command_finds_a_family_on_pythons_path(tmp_path):
    model = write_family(tmp_path / "outside", "blobs_beside", converter=True)
    original = {"net.first.weight": np.ones((4, 3, 3, 3), np.float32)}
    original |= {f"net.first_norm.{leaf}": np.ones(4, np.float32) for leaf in ("weight", "bias")}
    original |= {f"net.first_norm.running_{leaf}": np.ones(4, np.float32) for leaf in ("mean", "var")}
    original |= {"net.last.weight": np.ones((3, 4, 1, 1), np.float32), "net.last.bias": np.ones(3, np.float32)}
    write_pth(tmp_path / "first.pth", original)
    program = [sys.executable, "-m", "weights_convert", "first.pth", "w.safetensors", "--model", model]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path / 'outside'}"}
    done = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert load(tmp_path / "w.safetensors")[0].keys() == draw().keys()


def test_names_of_two_upstreams_are_refused(tmp_path):
    both = ("prediction_layers.0.bbox_layer.weight", "proposal_generator.rpn_head.conv.weight")
    write_pth(tmp_path / "both.pth", {name: np.zeros(1, np.float32) for name in both})
    with pytest.raises(UserError, match="could be those of detectron2 or yolact; convert it with --from"):
        open_weights(tmp_path / "both.pth", load_settings("yolact_tiny"))
