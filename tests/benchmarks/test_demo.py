"""The demo gives every command what it needs, whatever kind of data and of results a model has."""

import json
import sys

import cv2
import numpy as np
import pytest

from benchmarks import demo


@pytest.fixture
def commands(monkeypatch):
    """The commands that the demo would run, each with its words; they leave what it reads of them."""
    ran: list[tuple[str, list[str]]] = []
    figures = {"panoptic": {"PQ": 50.0, "PQ_th": 40.0, "PQ_st": 60.0}, "mask": {"AP": 30.0, "AP50": 35.0}}
    figures |= {"box": figures["mask"], "semantic": {"mIoU": 70.0}}

    def run(module, *arguments):
        words = list(map(str, arguments))
        ran.append((module, words))
        if module == "common.data.shapes":
            write_image(arguments[0] / "val/1.png")
        elif module.endswith(".predict"):
            write_image(arguments[-1] / "1.png")
        elif module.endswith(".evaluate"):
            arguments[-1].mkdir()
            (arguments[-1] / "metrics.json").write_text(json.dumps(figures))

    def write_image(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.zeros((8, 8, 3), np.uint8))

    monkeypatch.setattr(demo, "_run", run)
    return ran


@pytest.mark.parametrize(
    ("model", "forms", "figure"),
    [
        ("yolact_tiny", [], "mask AP (COCO segm, IoU 0.50:0.95, area all, 100 detections)"),
        ("mask2former_tiny", ["--stuff"], "panoptic PQ (panoptic quality, all classes)"),
    ],
)
def test_a_model_gets_its_kind_of_data_and_figure(commands, monkeypatch, tmp_path, capsys, model, forms, figure):
    monkeypatch.setattr(sys, "argv", ["demo", "--model", model, "--output", str(tmp_path), "--images", "9"])
    demo.main()
    assert commands[0] == ("common.data.shapes", [f"{tmp_path}/shapes", "--images", "9", "--seed", "0", *forms])
    assert {words[0] for module, words in commands if "_impl." in module} == {model}
    assert f"{figure} of {model} with the same weights:" in capsys.readouterr().out
    assert cv2.imread(str(tmp_path / "side_by_side.png")).shape == (24, 8, 3)
