"""The commands with a panoptic model: what is predicted, rated, logged and written; the wings run them for real."""

import json
import shutil

import cv2
import numpy as np
import pytest

from common.boxes import boxes_around
from common.commands import evaluate, predict, train
from common.data.coco import resolve
from common.data.shapes import write_shapes
from common.errors import UserError
from common.models import load_settings
from common.results import PANOPTIC, Instances, Panoptic
from common.weights import Card, load, save
from tests.common.commands.still_learner import StillLearner, wing_with
from tests.common.commands.test_commands import frame_count, write_video

MODEL = "mask2former_tiny"
PQ = "panoptic PQ (panoptic quality, all classes)"


def sky_above_a_thing(size):
    """The answer for an image of this size: sky in its upper half, before which a thing stands."""
    segment_map, semantic = np.zeros(size, np.int32), np.full(size, 5, np.int32)
    segment_map[: size[0] // 2], semantic[: size[0] // 2] = 2, 4
    segment_map[10:30, 10:30] = 1
    masks, scores, labels = segment_map[None] == 1, np.float32([0.9, 0.8]), np.array([1, 4])
    instances = Instances(size, boxes_around(masks), np.float32([0.7]), labels[:1], masks)
    return Panoptic(size, segment_map, np.int32([1, 2]), labels, scores, labels < 4, instances, semantic)


class Learner(StillLearner):
    def train_step(self, batch, rate):
        return dict.fromkeys(self.settings.loss_terms(), 1.0)

    def predict(self, inputs, score_threshold=0.0):
        return [sky_above_a_thing(tuple(size)) for size in inputs["original_size"].astype(int).tolist()]


WING = wing_with(lambda: Learner)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    out = tmp_path_factory.mktemp("data") / "shapes"
    return write_shapes(out, images=10, seed=0, val_images=3, stuff=True)


@pytest.fixture(scope="module")
def weights(tmp_path_factory, shapes):
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    settings, dataset = load_settings(MODEL), resolve(shapes, "val", "panoptic")
    classes = {"classes": tuple(dataset.class_names), "category_ids": tuple(dataset.category_ids)}
    arrays = {name: np.zeros(shape, np.float32) for name, shape in Learner(settings).shapes().items()}
    card = Card(model=MODEL, source="test", licence="none", preprocessing=settings.preprocessing, **classes)
    save(path, arrays, card)
    return path


def run(command, *words):
    command.main(WING, [MODEL, *map(str, words)])


def test_evaluate_prints_and_writes_all_three(tmp_path, shapes, weights, capsys):
    words = ["--data", shapes, "--weights", weights, "--workers", 0, "--batch-size", 2]
    run(evaluate, *words, "--output", tmp_path / "out", "--boundary", "--report")
    printed = capsys.readouterr().out
    for name in (PQ, "panoptic RQ (quality of recognition, stuff)", "semantic mIoU", "mask AP (", "boundary AP ("):
        assert f"\n{name}" in printed
    note = f"\ninstances are rated by {shapes / 'annotations/instances_val.json'}\n"
    assert note in printed and (tmp_path / "out/evaluation.log").read_text().endswith(note)
    names = ["evaluation.log", "mask_results.json", "metrics.json", "panoptic_results", "panoptic_results.json"]
    names += ["report.html", "semantic_results.json"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["panoptic"]["PQ-sky"] > 0 and metrics["panoptic"]["PQ-grass"] == 0
    assert metrics["semantic"]["IoU-grass"] > 0 and {"mask", "boundary"} < metrics.keys()
    behind = metrics["report"]
    assert behind.keys() == {"panoptic", "semantic", "mask", "boundary"}
    assert behind["panoptic"]["classes"]["sky"] == {
        name: metrics["panoptic"][f"{name}-sky"] for name in ("PQ", "SQ", "RQ")
    }
    assert behind["semantic"]["classes"]["grass"]["IoU"] == metrics["semantic"]["IoU-grass"]
    assert behind["mask"]["ap50"] == pytest.approx(metrics["mask"]["AP50"]) and behind["boundary"]["errors"] == {}
    entries = PANOPTIC.read_entries(tmp_path / "out/panoptic_results.json")
    ids = resolve(shapes, "val", "panoptic").image_ids.tolist()
    assert [entry["image_id"] for entry in entries] == ids
    pngs = sorted(path.name for path in (tmp_path / "out/panoptic_results").iterdir())
    assert pngs == [f"{image_id:012d}.png" for image_id in sorted(ids)]
    run(evaluate, *words, "--eval", "PQ", "--format-only", "--eval-options", f"jsonfile_prefix={tmp_path / 'mm'}")
    assert sorted(path.name for path in tmp_path.glob("mm*")) == ["mm.panoptic", "mm.panoptic.json", "mm.segm.json"]
    assert PANOPTIC.read_entries(tmp_path / "mm.panoptic.json") == entries
    run(evaluate, *words, "--output", tmp_path / "best", "--top-k", 1, "--max-dets", "1,10,100", "--pycocotools")
    again = json.loads((tmp_path / "best/metrics.json").read_text())
    assert again["panoptic"] == metrics["panoptic"] and again["mask"] == metrics["mask"]


def test_predict_to_every_form(tmp_path, shapes, weights):
    folder = shapes / "val"
    names = sorted(path.name for path in folder.iterdir())
    run(predict, "--weights", weights, folder, "--output", tmp_path / "out", "--save", "overlay,masks,npz,json")
    stem = names[0].removesuffix(".png")
    expected = [f"{stem}{ending}" for ending in ("", ".json", ".npz", ".png", "_masks")]
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(stem)) == expected
    found, classes = PANOPTIC.read_arrays(tmp_path / f"out/{stem}.npz")
    assert classes[found.labels[1]] == "sky" and len(found) == 2
    run(predict, "--weights", weights, folder, "--output", tmp_path / "all.json", "--score-threshold", 0.95)
    entries = PANOPTIC.read_entries(tmp_path / "all.json")
    assert [entry["image_file_name"] for entry in entries] == names
    assert [each["category"] for each in entries[0]["segments_info"]] == ["circle", "sky"]
    before = cv2.imread(str(folder / names[0]))
    run(predict, "--weights", weights, folder / names[0], "--output", tmp_path / "a.png")
    assert (cv2.imread(str(tmp_path / "a.png")) != before).any()
    run(predict, "--weights", weights, folder / names[0], "--output", tmp_path / "b.png", "--draw-masks=false")
    run(predict, "--weights", weights, folder / names[0], "--output", tmp_path / "c.png", "--draw-names=false")
    overlays = [cv2.imread(str(tmp_path / f"{name}.png")) for name in "abc"]
    assert all((overlays[0] != other).any() for other in overlays[1:])


def test_predict_a_video(tmp_path, weights):
    run(predict, "--weights", weights, write_video(tmp_path / "in.avi", 4), "--output", tmp_path / "out.mp4")
    assert frame_count(tmp_path / "out.mp4") == 4


def test_training_is_logged_and_chosen_by_panoptic_quality(tmp_path, shapes, capsys):
    words = ["--data", shapes, "--output", tmp_path / "run", "--workers", 0, "--iterations", 1, "--batch-size", 2]
    run(train, *words)
    lines = map(json.loads, (tmp_path / "run/log.jsonl").read_text().splitlines())
    (figures,) = [line["evaluation"] for line in lines if "evaluation" in line]
    assert next(iter(figures)) == PQ and 0 < figures[PQ] < 100
    assert {name.split()[0] for name in figures} == {"panoptic", "mask", "semantic"}
    assert "instances are rated by " in capsys.readouterr().out


def drop(png, segments):
    png.unlink()


def cut(png, segments):
    cv2.imwrite(str(png), cv2.imread(str(png))[:-3])


def draw_stray(png, segments):
    pixels = cv2.imread(str(png))
    pixels[:5, :5] = 0, 0, 99
    cv2.imwrite(str(png), pixels)


def list_one_more(png, segments):
    segments.append({"id": 98, "category_id": 1})


def keep_classes_alone(png, segments):
    cv2.imwrite(str(png), cv2.imread(str(png))[..., 0])


@pytest.mark.parametrize(
    ("change", "fault", "in_training"),
    [
        (drop, "No such file or directory", "1 images whose PNG of segments is missing, not trained on (image "),
        (cut, "the segments' PNG is 160x125, while the image is 160x128", "1 images that cannot be read, not to be"),
        (keep_classes_alone, "are these classes alone?", "1 images that cannot be read, not to be"),
        (draw_stray, "PNGs with ids that stand in no segment", "1 PNGs with ids that stand in no segment, taken as v"),
        (list_one_more, "PNGs without a pixel of a segment", "1 PNGs without a pixel of a segment, trained on as "),
    ],
)
def test_annotations_and_pngs_that_do_not_fit(tmp_path, shapes, weights, capsys, change, fault, in_training):
    """What is rated is refused, before training too; what is trained on is said in a line."""
    for split in ("train", "val"):
        root = tmp_path / split
        shutil.copytree(shapes, root)
        path = root / f"annotations/panoptic_{split}.json"
        content = json.loads(path.read_text())
        png = path.with_suffix("") / content["annotations"][1]["file_name"]
        change(png, content["annotations"][1]["segments_info"])
        path.write_text(json.dumps(content))
    trained = ["--output", tmp_path / "run", "--workers", 0, "--iterations", 1, "--batch-size", 2]
    for command, words in ((evaluate, ["--weights", weights, "--workers", 0]), (train, trained)):
        with pytest.raises(UserError) as refused:
            run(command, "--data", tmp_path / "val", *words)
        line = str(refused.value)
        assert line.startswith(str(tmp_path / "val/annotations/panoptic_val.json")) and "\n" not in line
        assert fault in line and str(png) in line
    run(train, "--data", tmp_path / "train", *trained)
    assert f"\n  {in_training}" in capsys.readouterr().out


def test_weights_of_instances_are_refused(tmp_path, shapes, weights):
    settings = load_settings(MODEL, ["task=instances", "num_classes=4", "things=4"])
    arrays, card = load(weights)
    classes = {"classes": card.classes[:4], "category_ids": card.category_ids[:4]}
    save(tmp_path / "w.safetensors", arrays, card.model_copy(update=classes | {"numerics": settings.numerics()}))
    with pytest.raises(UserError, match="task is panoptic, theirs is instances"):
        run(evaluate, "--data", shapes, "--weights", tmp_path / "w.safetensors")


def test_a_set_without_panoptic_annotations_is_refused(tmp_path, weights):
    plain = write_shapes(tmp_path / "plain", images=1, seed=0, val_images=1)
    with pytest.raises(UserError, match=r"no annotations of the split val; looked for .*panoptic_val"):
        run(evaluate, "--data", plain, "--weights", weights)
    (plain / "panoptic_semseg_val2017").mkdir()
    with pytest.raises(UserError, match=r"instances_val.*, panoptic_semseg_val2017 \(pixels' classes alone"):
        run(evaluate, "--data", plain, "--weights", weights)
