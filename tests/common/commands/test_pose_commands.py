"""Commands with persons told by key points, with a learner that needs no framework."""

import json
from pathlib import Path

import numpy as np
import pytest

from common.commands import evaluate, predict, train
from common.data.coco import resolve
from common.data.shapes import write_shapes
from common.errors import UserError
from common.evaluation.coco import full_name
from common.models import load_settings
from common.results import Instances
from common.weights import Card, save
from tests.common.commands.still_learner import wing_with
from tests.weights_convert.originals import canonical_shapes

MODEL = "pose2seg_tiny"
SHAPES = canonical_shapes(load_settings(MODEL))


class FakeLearner:
    """Gives every person the image's upper half."""

    framework, rank, world = "fake", 0, 1

    def __init__(self, settings, device="auto", training=False):
        self.device = "cpu"

    def shapes(self):
        return SHAPES

    def load_weights(self, weights):
        pass

    def predict(self, inputs, score_threshold=0.0):
        found = []
        for image, (height, width) in enumerate(inputs["original_size"].tolist()):
            scores = inputs["person_score"][inputs["person_image"] == image]
            masks = np.zeros((len(scores), height, width), bool)
            masks[:, : height // 2] = True
            boxes = np.tile(np.float32([0, 0, width, height // 2]), (len(scores), 1))
            whole = Instances((height, width), boxes, scores, np.zeros(len(scores), np.int64), masks)
            found.append(whole[scores > score_threshold] if score_threshold > 0 else whole)
        return found


WING = wing_with(lambda: FakeLearner)


@pytest.fixture(scope="module")
def persons(tmp_path_factory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("data") / "persons", 4, seed=1, val_images=5, persons=True)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    preprocessing = load_settings(MODEL).preprocessing
    card = Card(model=MODEL, source="test", licence="none", preprocessing=preprocessing, classes=("person",))
    save(path, {name: np.zeros(shape, np.float32) for name, shape in SHAPES.items()}, card)
    return path


@pytest.fixture
def keypoints(persons, tmp_path) -> Path:
    """Two persons on the second image and one on the fourth, of rising score."""
    ids = resolve(persons, "val", "person_keypoints").image_ids
    points = [30.0, 40.0, 0.9] * 17
    entries = [
        {"image_id": int(ids[place]), "category_id": 1, "keypoints": points, "score": score}
        for place, score in ((1, 0.5), (3, 0.625), (1, 0.75))
    ]
    path = tmp_path / "keypoints.json"
    path.write_text(json.dumps(entries))
    return path


def run(command, weights, *arguments):
    command.main(WING, [MODEL, "--weights", str(weights), *map(str, arguments)])


def test_evaluate_rates_every_annotated_person_in_the_annotations_order(tmp_path, persons, weights, capsys):
    run(evaluate, weights, "--data", persons, "--output", tmp_path, "--workers", 0, "--batch-size", 3)
    printed = capsys.readouterr().out
    assert "5 images of" in printed and "persons by the annotated key points" in printed
    assert "mask AP" in printed and "box" not in printed
    annotations = json.loads((persons / "annotations/person_keypoints_val.json").read_text())["annotations"]
    results = json.loads((tmp_path / "mask_results.json").read_text())
    assert [each["image_id"] for each in results] == [each["image_id"] for each in annotations]
    assert {each["score"] for each in results} == {1.0} and {each["category_id"] for each in results} == {1}


def test_evaluate_takes_the_persons_of_a_results_file(tmp_path, persons, weights, keypoints, capsys):
    run(evaluate, weights, "--data", persons, "--output", tmp_path, "--workers", 0, "--keypoints", keypoints)
    assert f"persons by the key points of {keypoints} (3 persons on 2 images)" in capsys.readouterr().out
    results = json.loads((tmp_path / "mask_results.json").read_text())
    assert [each["score"] for each in results] == [0.5, 0.75, 0.625]
    keypoints.write_text(keypoints.read_text().replace("100000", "20000"))
    with pytest.raises(UserError, match="none of its 2 image ids"):
        run(evaluate, weights, "--data", persons, "--keypoints", keypoints)


class TrainedLearner(FakeLearner):
    """A step counts itself."""

    def __init__(self, settings, device="auto", training=False):
        super().__init__(settings, device, training)
        self.steps = 0

    def trainable(self):
        return []

    def weights(self):
        return {"steps": np.array([self.steps], np.float32)}

    def optimizer_state(self):
        return self.weights()

    def train_step(self, batch, rate):
        self.steps += 1
        return {"mask": 1.0}


def write_original_layout(root, persons):
    """The folder `data` as the original has it, from a small set of persons."""
    for folder, images, part, name in (
        ("coco2017", "train2017", "train", "person_keypoints_train2017_pose2seg.json"),
        ("coco2017", "val2017", "val", "person_keypoints_val2017_pose2seg.json"),
        ("OCHuman", "images", "val", "ochuman_coco_format_val_range_0.00_1.00.json"),
        ("OCHuman", "images", "val", "ochuman_coco_format_test_range_0.00_1.00.json"),
    ):
        path = root / folder / "annotations" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((persons / f"annotations/person_keypoints_{part}.json").read_bytes())
        target = root / folder / images
        if not target.exists():
            target.symlink_to(persons / part)


def test_training_rates_both_data_sets_after_every_epoch(tmp_path, persons):
    """An epoch of 4 images is two batches of 2."""
    write_original_layout(tmp_path / "data", persons)
    options = ["schedule.batch_size=2", "schedule.evaluate_epochs=1", "--iterations=5", "--workers=0"]
    names = [full_name("mask", figure) for figure in ("AP", "AP50")]
    for data, rated_by in (
        (tmp_path / "data", [*names, *(f"OCHumanVal {name}" for name in names)]),
        (persons, names),
    ):
        output = tmp_path / f"run_{data.name}"
        train.main(wing_with(lambda: TrainedLearner), [MODEL, f"--data={data}", f"--output={output}", *options])
        lines = map(json.loads, (output / "log.jsonl").read_text().splitlines())
        rated = {line["step"]: line["evaluation"] for line in lines if "evaluation" in line}
        assert list(rated) == [2, 4, 5] and all(list(figures) == rated_by for figures in rated.values())


def test_evaluate_knows_the_three_protocols(tmp_path, persons, weights, capsys):
    write_original_layout(tmp_path / "data", persons)
    arguments = ["--data", tmp_path / "data", "--workers", 0, "--output", tmp_path / "out"]
    run(evaluate, weights, *arguments, "--coco", "--OCHuman")
    printed = capsys.readouterr().out
    assert printed.count("mask AP (COCO segm, IoU 0.50:0.95, area all") == 3
    assert "test_range" in printed and "val_range" in printed and "val2017_pose2seg" in printed
    written = sorted(path.parent.name for path in (tmp_path / "out").glob("*/metrics.json"))
    assert written == ["OCHumanTest", "OCHumanVal", "cocoVal"]
    run(evaluate, weights, "--data", tmp_path / "data/OCHuman", "--workers", 0, "--OCHuman")
    assert capsys.readouterr().out.count("IoU 0.50:0.95, area all, 100 detections") == 4  # AP and AR of two
    with pytest.raises(UserError, match="results of cocoVal and OCHumanVal and OCHumanTest do not go into one file"):
        run(evaluate, weights, *arguments, "--coco", "--OCHuman", "--mask_det_file", tmp_path / "masks.json")


def test_predict_takes_key_points_of_a_file(tmp_path, persons, weights, keypoints):
    images = sorted((persons / "val").iterdir())
    run(predict, weights, images[1], "--keypoints", keypoints, "--output", tmp_path / "a.npz")
    np.testing.assert_allclose(np.load(tmp_path / "a.npz")["scores"], [0.5, 0.75])
    annotations = persons / "annotations/person_keypoints_val.json"
    run(predict, weights, images[0], "--keypoints", annotations, "--output", tmp_path / "b.npz")
    count = sum(each["image_id"] == int(images[0].stem) for each in json.loads(annotations.read_text())["annotations"])
    assert len(np.load(tmp_path / "b.npz")["scores"]) == count > 0
    with pytest.raises(UserError, match="no key points for "):
        run(predict, weights, images[0], "--keypoints", keypoints, "--output", tmp_path / "c.npz")


def test_options_of_the_wrong_family_are_refused(tmp_path, persons, weights, keypoints):
    image = sorted((persons / "val").iterdir())[0]
    with pytest.raises(UserError, match="pose2seg_tiny finds persons by their key points: give --keypoints FILE"):
        run(predict, weights, image, "--output", tmp_path / "a.png")
    for command, *arguments in (
        (predict, str(image), "--keypoints", str(keypoints)),
        (evaluate, "--data", str(persons), "--coco"),
        (evaluate, "--data", str(persons), "--keypoints", str(keypoints)),
    ):
        with pytest.raises(UserError, match="for models that find persons by their key points"):
            command.main(WING, ["yolact_tiny", "--weights", str(weights), *arguments])
