"""What predict and evaluate do with images that cannot be read, and with files that cannot be rated on."""

import json

import cv2
import numpy as np
import pytest

from common.commands import evaluate, predict
from common.data.class_names import COCO, class_names
from common.data.coco import resolve
from common.data.shapes import write_shapes
from common.errors import UserError
from common.models import load_settings
from common.results import Instances
from common.weights import Card, load_card, save, save_card
from tests.common.commands import test_commands as commands
from tests.common.commands.still_learner import two_objects, wing_with
from tests.common.test_maskrcnn_benchmark import PYRAMID
from tests.weights_convert.originals import canonical_shapes

made, shapes, weights = commands.made, commands.shapes, commands.weights


def folder_with_broken_images(folder, broken):
    folder.mkdir()
    whole = cv2.imencode(".png", np.zeros((120, 140, 3), np.uint8))[1].tobytes()
    for number in range(4):
        (folder / f"{number}.png").write_bytes(whole)
    for number in range(broken):
        (folder / f"2_{number:02d}.png").write_bytes(whole[:40])
    return folder


@pytest.mark.parametrize("broken", [2, 30])
def test_predict_goes_on_past_broken_images_and_names_them_at_the_end(tmp_path, weights, broken):
    source = folder_with_broken_images(tmp_path / "in", broken)
    with pytest.raises(UserError) as refused:
        commands.run_predict(weights, source, "--output", tmp_path / "all.json")
    line = str(refused.value)
    assert line.startswith(f"{broken} of {broken + 4} images were left out: image {source / '2_00.png'}: cannot be")
    assert line.count("cannot be decoded") == min(broken, 10) and ("..." in line) == (broken > 10)
    entries = json.loads((tmp_path / "all.json").read_text())
    assert [entry["file_name"] for entry in entries[::2]] == ["0.png", "1.png", "2.png", "3.png"]


def test_category_ids_are_the_cards(tmp_path, weights, shapes):
    image = sorted((shapes / "val").iterdir())[0]

    def ids(card):
        save_card(weights, card)
        commands.run_predict(weights, image, "--output", tmp_path / "a.json")
        return [entry["category_id"] for entry in json.loads((tmp_path / "a.json").read_text())]

    card = load_card(weights)
    assert ids(card) == [2, 1]  # a card that tells none
    assert ids(card.model_copy(update={"category_ids": (7, 90, 3, 4)})) == [90, 7]
    save_card(weights, card)


def test_a_card_without_ids_of_cocos_classes_has_cocos():
    facts = {"source": "", "licence": "", "preprocessing": load_settings(commands.MODEL).preprocessing}
    names, ids = predict._classes(Card(model="yolact_base", classes=COCO, **facts))
    assert (names[-1], ids[-1], len(ids)) == ("toothbrush", 90, 80)
    names, ids = predict._classes(Card(model="mask_rcnn_r50_fpn_torchvision", classes=class_names(90), **facts))
    assert (names[-1], ids[-1], len(ids)) == ("toothbrush", 90, 90)
    assert predict._classes(Card(model="x", classes=("a", "b"), **facts)).category_ids == (1, 2)


def data_without_truth(root):
    """As test-dev's: images and categories, of which the last has COCO's last id."""
    (root / "annotations").mkdir(parents=True)
    (root / "test2017").mkdir()
    names = ["circle", "rectangle", "triangle", "toothbrush"]
    for number in (1, 2, 3):
        cv2.imwrite(str(root / "test2017" / f"{number}.png"), np.zeros((128, 128, 3), np.uint8))
    content = {
        "images": [{"id": n, "file_name": f"{n}.png", "height": 128, "width": 128} for n in (3, 1, 2)],
        "categories": [{"id": c, "name": name} for c, name in zip((1, 2, 3, 90), names, strict=True)],
    }
    (root / "annotations/image_info_test-dev2017.json").write_text(json.dumps(content))
    return names


def run_evaluate(*words):
    evaluate.main(commands.WING, [commands.MODEL, "--workers", "0", *map(str, words)])


def test_without_truth_results_are_written_and_not_rated(tmp_path, monkeypatch, capsys):
    weights = commands.save_weights(tmp_path / "w.safetensors", data_without_truth(tmp_path / "data"))
    of_data = ["--data", tmp_path / "data", "--split", "test", "--weights", weights]

    def two(size):
        found = two_objects(size)
        return Instances(size, found.boxes, found.scores, np.array([3, 0]), found.masks)

    monkeypatch.setattr(commands.FakeLearner, "answers", iter([two((128, 128)) for _ in range(24)]))
    with pytest.raises(UserError, match="there are no annotations to evaluate against; give --results-only"):
        run_evaluate(*of_data, "--output", tmp_path / "out")
    with pytest.raises(UserError, match="say where with --output DIR"):
        run_evaluate(*of_data, "--results-only")
    assert not (tmp_path / "out").exists()
    run_evaluate(*of_data, "--results-only", "--output", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["box_results.json", "mask_results.json"]
    entries = json.loads((tmp_path / "out/mask_results.json").read_text())
    assert [(entry["image_id"], entry["category_id"]) for entry in entries] == [
        (image_id, category) for image_id in (3, 1, 2) for category in (90, 1)
    ]
    assert "AP" not in capsys.readouterr().out
    # YOLACT's own option only writes, too.
    monkeypatch.chdir(tmp_path)
    run_evaluate(*of_data, "--output_coco_json")
    assert len(json.loads((tmp_path / "results/bbox_detections.json").read_text())) == 6


@pytest.fixture
def own_shapes(tmp_path):
    return write_shapes(tmp_path / "shapes", images=1, seed=0, val_images=14)


def test_evaluation_refuses_images_that_cannot_be_read_before_the_start(tmp_path, own_shapes, weights):
    dataset = resolve(own_shapes, "val")
    paths = [dataset.path(position) for position in dataset.positions_with_annotations()]
    count = len(paths)
    assert count > 10
    paths[3].unlink()
    paths[5].write_bytes(paths[5].read_bytes()[:60])
    arguments = ["--data", own_shapes, "--weights", weights]
    with pytest.raises(UserError) as refused:
        run_evaluate(*arguments)
    line = str(refused.value)
    assert f"instances_val.json: 2 of {count} images cannot be read: " in line and not commands.FakeLearner.made
    assert f"({paths[3]}): No such file" in line and f"({paths[5]}): cannot be decoded" in line
    for path in paths:
        path.write_bytes(b"")
    with pytest.raises(UserError) as refused:
        run_evaluate(*arguments)
    assert f"{count} of {count} images" in str(refused.value) and str(refused.value).count("cannot be decoded") == 10
    with pytest.raises(UserError, match="cannot be decoded"):
        run_evaluate(*arguments, "--no-image-check")
    assert commands.FakeLearner.made


def test_a_file_of_maskrcnn_benchmark_gives_its_results_their_names(tmp_path, monkeypatch):
    settings = load_settings("mask_rcnn_r50_fpn", ["num_classes=4"])
    data = write_shapes(tmp_path / "shapes", images=1, seed=0, val_images=2)
    classes = resolve(data, "val").class_names
    arrays = {name: np.zeros(shape, np.float32) for name, shape in canonical_shapes(settings).items()}
    facts = {"source": "", "licence": "", "preprocessing": settings.preprocessing}
    save(tmp_path / "w.safetensors", arrays, Card(model=settings.model, classes=tuple(classes), **facts))
    keys = PYRAMID | {"OUTPUT_DIR": str(tmp_path / "out"), "DATASETS.TEST": ["coco_2017_val"]}
    (tmp_path / "e2e.yaml").write_text(json.dumps(keys))

    class Finder(commands.FakeLearner):
        def predict(self, inputs, score_threshold=0.0):
            assert len(inputs["image"]) <= 2
            return [two_objects(tuple(size)) for size in inputs["original_size"].tolist()]

    words = ["--config-file", tmp_path / "e2e.yaml", "--data", data, "--weights", tmp_path / "w.safetensors"]
    evaluate.main(wing_with(lambda: Finder), [*map(str, words), "--workers", "0"])
    written = sorted(path.name for path in (tmp_path / "out/inference/coco_2017_val").iterdir())
    assert written == ["bbox.json", "evaluation.log", "metrics.json", "segm.json"]


def test_training_refuses_images_that_it_could_not_be_rated_on(tmp_path, own_shapes):
    dataset = resolve(own_shapes, "val")
    path = dataset.path(int(dataset.positions_with_annotations()[2]))
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UserError, match=rf"instances_val\.json: 1 of \d+ images cannot be read: .*{path.name}"):
        commands.run_train(own_shapes, tmp_path / "run", "--iterations", 1)
    commands.run_train(own_shapes, tmp_path / "run", "--iterations", 1, "--skip-test")
