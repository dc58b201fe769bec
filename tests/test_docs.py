"""The commands and the code on the pages are such as the project takes; weights and data are made up."""

import importlib
import importlib.util
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest

from common import predictor
from common.models import load_settings
from common.results import Instances, Panoptic
from torch_impl.wing import WING

ROOT = Path(__file__).parents[1]
NAMES = (
    *("benchmarks", "cascade_mask_rcnn", "evaluation", "gpu", "mask2former", "mask_rcnn", "originals", "point_rend"),
    *("pose2seg", "zoo"),
)
PAGES = ("README.md", *(f"docs/{name}.md" for name in NAMES))


def blocks(page, language=""):
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


def commands():
    """Module and words of every `python -m`."""
    for page in PAGES:
        for block in blocks(page):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("python -m "):
                    _, _, module, *words = shlex.split(line, comments=True)
                    yield pytest.param(module, words, id=line.removeprefix("python -m ")[:60])


@pytest.mark.parametrize(("module", "words"), list(commands()))
def test_a_command_is_understood(module, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("configs").mkdir()
    Path("datasets/coco").mkdir(parents=True)
    Path("configs/e2e_mask_rcnn_R_50_FPN_1x.yaml").write_text(
        "MODEL: {MASK_ON: True}\nDATASETS: {TRAIN: [coco_2017_train], TEST: [coco_2017_val]}\n"
    )
    for page in PAGES:
        for block in blocks(page, "yaml"):
            name = re.match(r"# (\S+\.yaml)\n", block)
            if name:
                Path(name[1]).write_text(block)
    wing, _, command = module.rpartition(".")
    if wing == "torch_impl":
        arguments = importlib.import_module(f"common.commands.{command}")._parser(WING).read(words)
        load_settings(arguments.model, arguments.overrides)
    elif module == "weights_convert":
        arguments = importlib.import_module("weights_convert.__main__")._parser().parse_args(words)
        assert arguments.model is None or load_settings(arguments.model)
    else:
        assert importlib.util.find_spec(module)


def panoptic_of(instances):
    """A panoptic result with one segment, the instance."""
    segment_map = instances.masks[0].astype(np.int32)
    ids, is_thing = np.int32([1]), np.array([True])
    return Panoptic(
        instances.image_size, segment_map, ids, instances.labels, instances.scores, is_thing, instances, segment_map
    )


def test_python_runs(tmp_path, monkeypatch, capsys):
    def predict(batch, score_threshold):
        masks = np.zeros((1, 60, 80), bool)
        masks[0, 10:30, 20:50] = True
        boxes, probabilities = np.float32([[20, 10, 50, 30]]), np.full((1, 28, 28), 0.8, np.float32)
        labels = np.array([1])
        return [
            Instances(
                (60, 80), boxes, np.float32([0.9]), labels, masks, probabilities=probabilities, probability_boxes=boxes
            )
        ]

    def predict_panoptic(batch, score_threshold):
        return list(map(panoptic_of, predict(batch, score_threshold)))

    def open_model(wing, model, weights, overrides, device):
        card, settings = SimpleNamespace(classes=("cat", "dog")), load_settings(model, overrides)
        is_panoptic = settings.data_kind == "panoptic"
        return SimpleNamespace(predict=predict_panoptic if is_panoptic else predict), settings, card

    stub = ModuleType("torch_impl.predictor")
    stub.Predictor = type("Predictor", (predictor.Predictor,), {"wing": WING})
    monkeypatch.setattr(predictor, "open_model", open_model)
    monkeypatch.setitem(sys.modules, "torch_impl", ModuleType("torch_impl"))
    monkeypatch.setitem(sys.modules, "torch_impl.predictor", stub)
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("street.jpg", np.full((60, 80, 3), 90, np.uint8))
    for page in PAGES:
        for block in blocks(page, "python"):
            given = {"image": np.full((60, 80, 3), 90, np.uint8), "keypoints": np.ones((1, 17, 3))}
            exec(compile(block, page, "exec"), given)
    assert "dog 0.9" in capsys.readouterr().out
    assert cv2.imread("found.png").shape == (60, 80, 3)
