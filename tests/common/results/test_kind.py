"""A kind of result that no file of the project names goes through the commands: they ask its contract alone."""

import json
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest

from common import families
from common.commands import evaluate, predict, train
from common.errors import UserError
from common.files import write_json
from common.images import write_image
from common.results import Classes, Comparison, Form, Prediction, Rating
from tests.common.commands import test_commands as commands
from tests.common.commands.still_learner import wing_with

shapes, weights, image = commands.shapes, commands.weights, commands.image


@dataclass
class Brightness:
    """How bright an image is, from 0 to 1."""

    image_size: tuple[int, int]
    value: float

    def ranked(self, score_threshold, top_k):
        return self


class BrightnessKind:
    name = "brightness"
    rated = ("light",)

    @property
    def forms(self):
        return {
            "overlay": Form(".png", lambda path, made: write_image(path, self.draw(made.image, made.result, ()))),
            "number": Form("_light.txt", lambda path, made: path.write_text(f"{made.result.value:.3f}")),
            "npz": Form(".npz", lambda path, made: np.savez(path, value=made.result.value)),
            "json": Form(".json", lambda path, made: self.write_entries(path, self.named_entries(made))),
        }

    def require_drawing(self):
        pass

    def draw(self, image, result, class_names, parts=None):
        return np.full_like(image, round(255 * result.value))

    def read_arrays(self, path):
        return Brightness((0, 0), float(np.load(path)["value"])), []

    def named_entries(self, made):
        return [{"image_id": made.number, "file_name": made.name, "light": made.result.value}]

    def entries(self, image_id, result, category_ids, top_k=None):
        return {"light": [{"image_id": image_id, "light": result.value}]}

    def write_entries(self, path, entries):
        write_json(path, entries)

    def read_entries(self, path):
        return json.loads(path.read_text())

    def rating(self, dataset, by_reference=False, boundaries=False, limits=None):
        def rate(results):
            return {"light": {"mean": 100 * float(np.mean([entry["light"] for entry in results["light"]]))}}

        return Rating(rate, "light is bright")

    def lines(self, figures):
        return [f"mean light {figures['light']['mean']:.1f}"]

    def summary(self, figures):
        return [f"light = {figures['light']['mean'] / 100:.3f}"]

    def main_figures(self, figures):
        return {"mean light": figures["light"]["mean"]}

    def compare(self, reference, other, dataset):
        values = [np.array([entry["light"] for entry in results["light"]]) for results in (reference, other)]
        return [Comparison("light", *values)]


class Learner(commands.FakeLearner):
    def predict(self, inputs, score_threshold=0.0):
        return [Brightness(tuple(size), 0.5) for size in inputs["original_size"].tolist()]


WING = wing_with(lambda: Learner)


@pytest.fixture(autouse=True)
def bright_family(monkeypatch):
    """YOLACT's family with another kind of result."""
    records = {name: families.family_named(name) for name in families.family_names()}
    records["yolact"] = replace(records["yolact"], results=lambda settings: BrightnessKind())
    monkeypatch.setattr(families, "family_named", records.get)


def run_predict(weights, *words):
    predict.main(WING, [commands.MODEL, "--weights", *map(str, (weights, *words))])


def test_it_is_saved_in_its_own_forms(tmp_path, image, weights):
    run_predict(weights, image, "--output", tmp_path / "found", "--save", "number,npz,overlay,json")
    names = sorted(path.name.removeprefix(image.stem) for path in (tmp_path / "found").iterdir())
    assert names == [".json", ".npz", ".png", "_light.txt"]
    assert BrightnessKind().read_arrays(tmp_path / f"found/{image.stem}.npz")[0].value == 0.5
    with pytest.raises(UserError, match="--save masks: there are overlay, number, npz, json"):
        run_predict(weights, image, "--output", tmp_path / "found", "--save", "masks")


def test_it_goes_into_one_file(tmp_path, image, weights):
    for name in ("out.png", "out.npz", "out.json"):
        run_predict(weights, image, "--output", tmp_path / name)
    assert (cv2.imread(str(tmp_path / "out.png")) == 128).all()
    assert np.load(tmp_path / "out.npz")["value"] == 0.5
    expected = [{"image_id": 1, "file_name": image.name, "light": 0.5}]
    assert BrightnessKind().read_entries(tmp_path / "out.json") == expected


def test_it_is_rated_by_its_own_figures(tmp_path, shapes, weights, capsys):
    words = ["--data", shapes, "--weights", weights, "--workers", 0, "--output", tmp_path]
    evaluate.main(WING, [commands.MODEL, *map(str, words)])
    assert "mean light 50.0\nlight is bright\n" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evaluation.log", "light_results.json", "metrics.json"]
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"light": {"mean": 50.0}}
    assert (tmp_path / "evaluation.log").read_text() == "light = 0.500\nlight is bright\n"
    assert {entry["light"] for entry in BrightnessKind().read_entries(tmp_path / "light_results.json")} == {0.5}


def test_its_report_has_its_figures(tmp_path, shapes, weights):
    words = ["--data", shapes, "--weights", weights, "--workers", 0, "--output", tmp_path, "--report"]
    evaluate.main(WING, [commands.MODEL, *map(str, words)])
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"light": {"mean": 50.0}, "report": {}}
    page = (tmp_path / "report.html").read_text()
    assert all(text in page for text in ("mean light</dt><dd>50.0", "<li>mean light 50.0", "light is bright"))


def test_training_logs_its_main_figures(tmp_path, shapes):
    words = ["--data", shapes, "--output", tmp_path / "run", "--workers", 0, "--iterations", 1]
    train.main(WING, [commands.MODEL, *map(str, words)])
    lines = map(json.loads, (tmp_path / "run/log.jsonl").read_text().splitlines())
    assert [line["evaluation"] for line in lines if "evaluation" in line] == [{"mean light": 50.0}]


def test_the_contract_is_what_the_instances_have():
    from common.results import INSTANCES, ResultKind

    wanted = {name for name in (*vars(ResultKind), *ResultKind.__annotations__) if not name.startswith("_")}
    for kind in (INSTANCES, BrightnessKind()):
        assert all(hasattr(kind, name) for name in wanted)
    assert Prediction("a.png", 1, np.zeros((2, 2, 3), np.uint8), None, Classes((), ())).parts.masks
