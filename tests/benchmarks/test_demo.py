"""The demo gives every command what it needs, whatever kind of data and of results a model has."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import demo
from common.files import write_json


@pytest.fixture
def commands(monkeypatch):
    """The commands that the demo would run, each with its words; they leave what it reads of them."""
    ran: list[tuple[str, list[str]]] = []
    figures = {"panoptic": {"PQ": 50.0, "PQ_th": 40.0, "PQ_st": 60.0}, "mask": {"AP": 30.0, "AP50": 35.0}}
    figures |= {"box": figures["mask"], "semantic": {"mIoU": 70.0}}

    def run(module, *arguments, accepted=(0,)):
        words = list(map(str, arguments))
        ran.append((module, words))
        # A comparison that fails is for the report to tell.
        assert (1 in accepted) == (module == "benchmarks.parity")
        if module.endswith(".train"):
            write_json(Path(words[words.index("--output") + 1]) / "log.jsonl", {"step": module})
        elif module.endswith(".evaluate"):
            write_json(arguments[-1] / "metrics.json", figures)

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
    out = capsys.readouterr().out
    assert f"{figure} of {model} with the same weights:" in out
    assert out.endswith(f"report: {tmp_path}/report.html\n")


def test_the_report_comes_last_and_finds_what_the_commands_before_it_left(commands, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["demo", "--output", str(tmp_path), "--seed", "3"])
    demo.main()
    assert commands[-1] == ("benchmarks.report", [str(tmp_path), "--output", f"{tmp_path}/report.html"])
    outputs = {module: words[words.index("--output") + 1] for module, words in commands if "--output" in words}
    assert outputs["benchmarks.speed"] == str(tmp_path) and outputs["benchmarks.parity"] == f"{tmp_path}/parity"
    for framework in ("torch", "jittor", "mindspore"):
        assert outputs[f"{framework}_impl.evaluate"] == f"{tmp_path}/{framework}"
        # The first steps of all come from one seed; the log is that of the last training of each.
        trainings = [words for module, words in commands if module == f"{framework}_impl.train"]
        assert all(words[words.index("--seed") + 1] == "3" for words in trainings)
        log = tmp_path / "accuracy/yolact_tiny" / framework / "log.jsonl"
        assert json.loads(log.read_text()) == {"step": f"{framework}_impl.train"}
