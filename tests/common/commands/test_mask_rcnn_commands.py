"""The commands with a model of Mask R-CNN and a learner that needs no framework: batches, classes, what is said."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from common.commands import evaluate, predict, train
from common.data.class_names import COCO, class_names
from common.data.coco import resolve
from common.data.shapes import write_shapes
from common.errors import UserError
from common.models import load_settings
from common.results import Instances
from common.weights import Card, load, save
from tests.common.commands.still_learner import StillLearner, wing_with
from tests.common.data.coco_files import annotation, image, write
from tests.weights_convert.originals import canonical_shapes

MODEL = "mask_rcnn_tiny"


class FakeLearner(StillLearner):
    """Finds one object of each class that `labels` names in every image; a training step moves one weight."""

    labels = (0,)
    batches = []

    def train_step(self, batch, rate):
        self.batches.append(batch)
        self._weights["mask_head.logits.bias"] = self._weights["mask_head.logits.bias"] + np.float32(rate)
        return dict.fromkeys(("objectness", "rpn_boxes", "classes", "boxes", "masks"), 0.5)

    def predict(self, inputs, score_threshold=0.0):
        self.batches.append(inputs)
        return [one_of_each(self.labels, tuple(size)) for size in inputs["original_size"].tolist()]


def one_of_each(labels, size) -> Instances:
    count = len(labels)
    masks = np.zeros((count, *size), bool)
    masks[:, 5:15, 5:15] = True
    boxes = np.tile(np.float32([5, 5, 15, 15]), (count, 1))
    return Instances(size, boxes, np.linspace(0.9, 0.5, count, dtype=np.float32), np.array(labels), masks)


WING = wing_with(lambda: FakeLearner)


@pytest.fixture(autouse=True)
def batches(monkeypatch):
    """The sizes of the batches that a learner is given."""
    monkeypatch.setattr(FakeLearner, "batches", [])


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes", images=6, seed=0, val_images=3)


def weights_for(path: Path, classes) -> Path:
    settings = load_settings(MODEL, [f"num_classes={len(classes)}"])
    arrays = {name: np.zeros(shape, np.float32) for name, shape in canonical_shapes(settings).items()}
    facts = {"source": "test", "licence": "none", "preprocessing": settings.preprocessing}
    save(path, arrays, Card(model=MODEL, classes=tuple(classes), **facts))
    return path


def in_coco_form(root: Path, names) -> Path:
    """One image of 40 x 30 with one object of each class, under COCO's own category ids, the last one first."""
    ids = {name: number for number, name in enumerate(class_names(90), start=1)}
    categories = [{"id": ids[name], "name": name} for name in reversed(names)]
    annotations = [annotation(n, 1, category_id=ids[name]) for n, name in enumerate(names, start=1)]
    return write(root, [image(1)], annotations, categories)


def evaluated(root: Path, weights: Path, output: Path) -> list[dict]:
    evaluate.main(WING, [MODEL, "--data", str(root), "--weights", str(weights), "--output", str(output)])
    return json.loads((output / "box_results.json").read_text())


@pytest.mark.parametrize("names", [COCO, ("toothbrush", "person", "bus")])
def test_a_class_for_each_category_id_is_rated_by_name(tmp_path, monkeypatch, capsys, names):
    """As torchvision's weights have them: 90, of which COCO has 80 and a smaller file fewer."""
    monkeypatch.setattr(FakeLearner, "labels", tuple(range(90)))
    root = in_coco_form(tmp_path / "data", names)
    entries = evaluated(root, weights_for(tmp_path / "w.safetensors", class_names(90)), tmp_path / "out")
    ids = dict(zip(class_names(90), range(1, 91), strict=True))
    # Label k is category k + 1, and those of no category and of none of the file's are left out.
    assert [entry["category_id"] for entry in entries] == sorted(ids[name] for name in names)
    assert "box AP (COCO bbox, IoU 0.50:0.95, area all, 100 detections) 100.0" in capsys.readouterr().out


def test_as_many_classes_are_rated_in_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(FakeLearner, "labels", tuple(range(80)))
    entries = evaluated(
        in_coco_form(tmp_path / "data", COCO), weights_for(tmp_path / "w.safetensors", COCO), tmp_path / "out"
    )
    assert [entry["category_id"] for entry in entries][-2:] == [89, 90] and len(entries) == 80


def test_more_classes_that_lack_one_of_the_files_are_refused(tmp_path):
    root = write(tmp_path / "data", [image(1)], [annotation(1, 1)], [{"id": 2, "name": "unicorn"}])
    with pytest.raises(UserError, match=r"w\.safetensors knows 90 classes, .*annotations\.json has 1"):
        evaluated(root, weights_for(tmp_path / "w.safetensors", class_names(90)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_evaluation_fills_up_the_last_batch(tmp_path, shapes):
    weights = weights_for(tmp_path / "w.safetensors", resolve(shapes, "val").class_names)
    evaluate.main(WING, [MODEL, f"--data={shapes}", f"--weights={weights}", "--batch-size=2", "--workers=0"])
    assert [len(batch["image"]) for batch in FakeLearner.batches] == [2, 2]
    for batch in FakeLearner.batches:
        assert batch.keys() == {"image", "image_size", "original_size"}
        assert batch["image"].shape[2:] == tuple(-(-batch["image_size"].max(axis=0) // 32) * 32)


def test_prediction_of_an_image(tmp_path):
    weights = weights_for(tmp_path / "w.safetensors", ("circle", "square", "triangle", "star"))
    cv2.imwrite(str(tmp_path / "in.png"), np.zeros((50, 100, 3), np.uint8))
    predict.main(WING, [MODEL, f"--weights={weights}", f"{tmp_path / 'in.png'}:{tmp_path / 'out.json'}"])
    (batch,) = FakeLearner.batches
    assert batch["original_size"].tolist() == [[50, 100]] and batch["image_size"].tolist() == [[96, 192]]
    assert batch["image"].shape == (1, 3, 96, 192)
    (entry,) = json.loads((tmp_path / "out.json").read_text())
    assert entry["category"] == "circle" and entry["bbox"] == [5, 5, 10, 10]


def run_train(shapes: Path, output: Path, *arguments: str) -> None:
    train.main(
        WING,
        [MODEL, f"--data={shapes}", f"--output={output}", "--workers=0", "--batch-size=2", "--skip-test", *arguments],
    )


def test_training_says_what_it_does_and_takes_whole_batches(tmp_path, shapes, capsys):
    run_train(shapes, tmp_path / "run", "--iterations=2")
    said = capsys.readouterr().out
    for part in (
        "6 images to train on",
        "model mask_rcnn_tiny in fake on cpu, 4 classes",
        "losses objectness of anchors (x1), rpn_boxes of anchors (x1), classes of regions (x1), boxes of regions (x1)",
    ):
        assert part in said
    assert len(FakeLearner.batches) == 2
    for batch in FakeLearner.batches:
        assert batch["image"].shape[0] == len(batch["host.counts"]) == 2 and "host.polygons" in batch
    weights, card = load(tmp_path / "run/weights.safetensors")
    assert card.classes == tuple(resolve(shapes, "train").class_names)
    assert np.any(weights["mask_head.logits.bias"] != 0)


def test_training_takes_images_without_objects_where_it_is_to(tmp_path, capsys):
    root = write(tmp_path / "data", [image(1), image(2)], [annotation(1, 1)])
    run_train(root, tmp_path / "all", "--iterations=1")
    said = capsys.readouterr().out
    assert "2 images to train on" in said and "1 images without an object, trained on as such (2)" in said
    assert sorted(FakeLearner.batches[0]["host.counts"]) == [0, 1]
    run_train(root, tmp_path / "some", "--iterations=1", "augmentation.empty_images=false")
    assert "1 images to train on" in capsys.readouterr().out
    assert sorted(FakeLearner.batches[1]["host.counts"]) == [1, 1]


def test_finetuning_keeps_the_rows_of_the_classes_that_the_weights_know(tmp_path, shapes, capsys):
    names = resolve(shapes, "train").class_names
    known = [name for name in names if name in (*COCO, names[1])]
    assert len(known) == 2
    weights = weights_for(tmp_path / "w.safetensors", (*COCO, names[1]))
    run_train(shapes, tmp_path / "run", "--iterations=1", f"--weights={weights}")
    said = capsys.readouterr().out
    assert "2 of 4 classes kept by name" in said
    assert "classes of box_head.classes, box_head.deltas, mask_head.logits" in said
    drawn = ", ".join(name for name in names if name not in known)
    assert f"  kept (2): {', '.join(known)}\n  drawn afresh (2): {drawn}\n" in said
    learned, card = load(tmp_path / "run/weights.safetensors")
    assert not np.any(learned["backbone.conv1.weight"]) and "2 of 4 classes kept by name" in card.source
    rows = [bool(row.any()) for row in learned["box_head.classes.weight"]]
    assert rows == [False, *(name not in known for name in names)]  # those kept are zeros, the background's too


@pytest.mark.parametrize(
    ("command", "arguments", "said"),
    [
        (evaluate, ["--data={shapes}", "--fast_nms=false"], "unknown key detection.nms"),
        (evaluate, ["--data={shapes}", "rpn.nms=1"], "unknown key rpn.nms"),
        (predict, ["absent.png", "--output=out.png"], "image absent.png: not found"),
    ],
)
def test_bad_input_is_named(tmp_path, shapes, monkeypatch, command, arguments, said):
    monkeypatch.chdir(tmp_path)
    weights = weights_for(tmp_path / "w.safetensors", ("circle",))
    given = [word.format(shapes=shapes) for word in arguments]
    with pytest.raises(UserError, match=said):
        command.main(WING, [MODEL, f"--weights={weights}", *given])


def test_weights_of_fewer_classes_are_refused(tmp_path, shapes):
    weights = weights_for(tmp_path / "w.safetensors", ("circle",))
    with pytest.raises(UserError, match=r"w\.safetensors knows 1 classes, .*instances_val\.json has 4"):
        evaluate.main(WING, [MODEL, f"--data={shapes}", f"--weights={weights}"])
