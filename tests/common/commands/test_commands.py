"""The commands with a learner that needs no framework: arguments, files, faults. The wings run them for real."""

import json
import shutil
from pathlib import Path
from unittest.mock import Mock

import cv2
import numpy as np
import pytest

from common.commands import evaluate, predict, trace, train
from common.data.coco import resolve
from common.data.shapes import write_shapes
from common.errors import UserError
from common.models import load_settings
from common.results import Instances
from common.weights import Card, save
from tests.common.commands.still_learner import TwoObjectsLearner, wing_with
from tests.weights_convert.originals import canonical_shapes, layout
from weights_convert.conversion import convert, write
from weights_convert.writers import write_pth

MODEL = "yolact_tiny"


class FakeLearner(TwoObjectsLearner):
    """Finds two objects in every image, or what `answers` yields; a training step moves one weight."""

    made = []

    def __init__(self, settings, device="auto", training=False):
        super().__init__(settings, device, training)
        self.made.append(self)

    def train_step(self, batch, rate):
        assert batch["image"].shape == (self.settings.schedule.batch_size, 3, 128, 128)
        self._weights["semantic.bias"] = self._weights["semantic.bias"] + np.float32(rate)
        return {"B": float(batch["image"].sum()), "C": 1.0}

    def predict(self, inputs, score_threshold=0.0):
        assert inputs["image"].dtype == np.float32 and inputs["image"].shape[1:] == (3, 128, 128)
        return super().predict(inputs, score_threshold)

    def trace(self, inputs, observer=None, gradients=False):
        return {"twice": 2 * inputs["image"]}


WING = wing_with(lambda: FakeLearner)


@pytest.fixture(autouse=True)
def made(monkeypatch):
    """The learners that the commands make."""
    monkeypatch.setattr(FakeLearner, "made", [])


@pytest.fixture(scope="session")
def shapes(tmp_path_factory):
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes", images=12, seed=0, val_images=5)


@pytest.fixture(scope="session")
def weights(tmp_path_factory, shapes):
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    return save_weights(path, resolve(shapes, "val").class_names)


def save_weights(path, classes):
    settings = load_settings(MODEL, [f"num_classes={len(classes)}"])
    arrays = {name: np.zeros(shape, np.float32) for name, shape in canonical_shapes(settings).items()}
    card = Card(
        model=MODEL, source="test", licence="none", preprocessing=settings.preprocessing, classes=tuple(classes)
    )
    save(path, arrays, card)
    return path


@pytest.fixture
def image(shapes):
    return sorted((shapes / "val").iterdir())[0]


def run_predict(weights, *arguments):
    predict.main(WING, [MODEL, "--weights", str(weights), *map(str, arguments)])


def test_predict_image_to_overlay_arrays_and_json(tmp_path, weights, image):
    run_predict(weights, image, "--output", tmp_path / "a.png")
    before, after = cv2.imread(str(image)), cv2.imread(str(tmp_path / "a.png"))
    assert after.shape == before.shape
    assert np.any(after[20:35, 20:40] != before[20:35, 20:40])
    run_predict(weights, f"{image}:{tmp_path / 'a.npz'}", "--score-threshold", "0.5")
    assert np.load(tmp_path / "a.npz")["scores"].tolist() == [np.float32(0.9)]
    run_predict(weights, f"--image={image}:{tmp_path / 'a.json'}", "--top_k=1", "--score_threshold=0.1")
    (entry,) = json.loads((tmp_path / "a.json").read_text())
    assert entry["category"] == "circle" and entry["bbox"] == [10, 10, 40, 30]


def test_predict_folder(tmp_path, weights, shapes):
    names = sorted(path.stem for path in (shapes / "val").iterdir())
    run_predict(weights, shapes / "val", "--output", tmp_path / "out", "--save", "overlay,masks,npz,json")
    for name in names:
        assert (tmp_path / "out" / f"{name}.png").is_file()
        assert len(list((tmp_path / "out" / f"{name}_masks").iterdir())) == 2
        assert np.load(tmp_path / "out" / f"{name}.npz")["masks"].shape[0] == 2
    run_predict(weights, "--images", f"{shapes / 'val'}:{tmp_path / 'all.json'}")
    entries = json.loads((tmp_path / "all.json").read_text())
    assert [entry["file_name"] for entry in entries[::2]] == [f"{name}.png" for name in names]


def test_images_of_one_stem_keep_apart(tmp_path, weights, image):
    folder = tmp_path / "in"
    folder.mkdir()
    pixels = cv2.imread(str(image))
    cv2.imwrite(str(folder / "a.jpg"), pixels)
    cv2.imwrite(str(folder / "a.png"), pixels)
    run_predict(weights, folder, "--output", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "a.png.png"]


def write_video(path, frames=30):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (160, 128))
    for number in range(frames):
        writer.write(np.full((128, 160, 3), 8 * number, np.uint8))
    writer.release()
    return path


def frame_count(path):
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    return count


def test_predict_video(tmp_path, weights):
    video = write_video(tmp_path / "in.avi")
    run_predict(weights, video, "--output", tmp_path / "out.mp4")
    assert frame_count(tmp_path / "out.mp4") == 30
    run_predict(weights, f"--video={video}:{tmp_path / 'out.json'}")
    assert len(json.loads((tmp_path / "out.json").read_text())) == 60


def test_predict_camera_until_it_is_interrupted(tmp_path, weights, monkeypatch):
    frames = [(True, np.full((128, 160, 3), 8 * number, np.uint8)) for number in range(7)]
    camera = Mock(**{"get.return_value": 0.0, "read.side_effect": [*frames, KeyboardInterrupt]})
    monkeypatch.setattr(cv2, "VideoCapture", {0: camera}.get)
    run_predict(weights, f"--video=0:{tmp_path / 'out.json'}")
    entries = json.loads((tmp_path / "out.json").read_text())
    assert [entry["file_name"] for entry in entries[::2]] == [f"frame_{number:06d}" for number in range(1, 8)]


def test_the_model_is_the_one_that_the_weights_name(tmp_path, weights, image):
    predict.main(WING, [f"--trained_model={weights}", f"--image={image}:{tmp_path / 'a.png'}"])
    assert FakeLearner.made[0].settings.model == MODEL
    other = shutil.copy(weights, tmp_path / "mine.safetensors")
    with pytest.raises(UserError, match="MODEL is missing; there are"):
        predict.main(WING, [f"--trained_model={other}", f"--image={image}:{tmp_path / 'b.png'}"])


def broken_image(folder):
    whole = cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes()
    (folder / "b.png").write_bytes(whole[:40])
    return folder


def empty_folder(folder):
    (folder / "notes.txt").write_text("no image")
    return folder


def test_a_video_that_ends_early_leaves_no_video(tmp_path, weights):
    (tmp_path / "in").mkdir()
    with pytest.raises(UserError, match="ends after frame"):
        run_predict(weights, cut_video(tmp_path / "in"), "--output", tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def cut_video(folder):
    path = write_video(folder / "cut.avi")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (broken_image, r"b\.png: cannot be decoded"),
        (empty_folder, "holds no images"),
        (cut_video, r"cut\.avi: ends after frame \d+ of 30"),
        (lambda folder: folder / "absent.jpg", r"absent\.jpg: not found"),
        (lambda folder: folder / "absent.mp4", r"absent\.mp4: not found"),
    ],
)
@pytest.mark.parametrize("output", ["out", "out.json"])
def test_bad_input_is_named_and_nothing_is_written(tmp_path, weights, make, named, output):
    folder = tmp_path / "in"
    folder.mkdir()
    source = make(folder)
    with pytest.raises(UserError, match=named):
        run_predict(weights, source, "--output", tmp_path / output)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "give one IMAGE"),
        (["a.png", "--image", "b.png"], "give one IMAGE.*a.png, b.png"),
        (["a.png"], "--output is missing"),
        (["IMAGE", "--output", "x.xyz"], "x.xyz: for this input"),
        (["IMAGE", "--output", "x.mp4"], "x.mp4: for this input"),
        (["IMAGE", "--output", "x", "--save", "overlay,pdf"], "--save pdf"),
        (["IMAGE", "--output", "x.png", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["IMAGE", "--output", "x.png", "--top-k", "0"], "0 is less than 1"),
        (["IMAGE", "--output", "x.png", "detection.nmss=fast"], "unknown key detection.nmss"),
        (["IMAGE", "more", "--output", "x.png"], "unexpected argument more"),
    ],
)
def test_bad_arguments_are_one_line(weights, image, arguments, named):
    arguments = [str(image) if argument == "IMAGE" else argument for argument in arguments]
    with pytest.raises(UserError, match=named.replace(".", r"\.").replace(r"\.*", ".*")):
        run_predict(weights, *arguments)


def test_words_options_and_overrides_in_any_order(weights, image, tmp_path):
    target = str(tmp_path / "a.npz")
    first = ["--output", target, "detection.top_k=7", "--weights", str(weights), MODEL, str(image)]
    second = ["--config", MODEL, str(image), "--output", target, "--weights", str(weights), "--fast_nms=false"]
    for argv in (first, second):
        predict.main(WING, argv)
    assert FakeLearner.made[0].settings.detection.top_k == 7
    assert [learner.settings.detection.nms for learner in FakeLearner.made] == ["fast", "exact"]


def truth(dataset):
    """What stands in the annotations, image by image, as if it had been found."""
    for position in range(len(dataset)):
        sample = dataset.load(position)
        labels, scores = sample.labels.astype(np.int64), np.ones(len(sample.labels), np.float32)
        yield Instances(sample.image.shape[:2], sample.boxes, scores, labels, sample.masks.astype(bool))


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluate_finds_all_where_all_is_found(tmp_path, shapes, weights, capsys, monkeypatch, workers):
    dataset = resolve(shapes, "val")
    monkeypatch.setattr(FakeLearner, "answers", iter([*truth(dataset), *truth(dataset)]))
    arguments = [MODEL, "--data", shapes, "--weights", weights, "--output", tmp_path, "--workers", workers]
    evaluate.main(WING, [*map(str, arguments), "--batch-size", "3"])
    printed = capsys.readouterr().out
    assert "mask AP (COCO segm, IoU 0.50:0.95, area all, 100 detections) 100.0" in printed
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert figures["mask"]["AP"] == figures["box"]["AP"] == pytest.approx(100)
    assert figures["mask"]["APl"] is None  # nothing so large in images of this size
    results = json.loads((tmp_path / "mask_results.json").read_text())
    assert {entry["category_id"] for entry in results} <= set(dataset.category_ids)
    assert "bbox" not in results[0]


def test_points_are_shown_of_models_that_choose_some(tmp_path, weights):
    arguments = [MODEL, "--weights", weights, tmp_path / "a.png", "--output", tmp_path / "b.png", "--show-points"]
    with pytest.raises(UserError, match=f"--show-points: {MODEL} computes its masks as a whole"):
        predict.main(WING, [*map(str, arguments)])


def test_evaluate_rates_boundaries_on_request(tmp_path, shapes, weights, capsys, monkeypatch):
    monkeypatch.setattr(FakeLearner, "answers", iter(truth(resolve(shapes, "val"))))
    arguments = [MODEL, "--data", shapes, "--weights", weights, "--workers", "0", "--boundary"]
    evaluate.main(WING, [*map(str, arguments), "--output", str(tmp_path)])
    assert "boundary AP (COCO boundary, IoU 0.50:0.95, area all, 100 detections) 100.0" in capsys.readouterr().out
    assert json.loads((tmp_path / "metrics.json").read_text())["boundary"]["AP"] == pytest.approx(100)


def test_a_report_says_what_stands_behind_the_figures(tmp_path, shapes, weights, monkeypatch):
    dataset = resolve(shapes, "val")
    monkeypatch.setattr(FakeLearner, "answers", iter([each[:-1] for each in truth(dataset)]))  # one is missed in each
    arguments = [MODEL, "--data", shapes, "--weights", weights, "--workers", 0, "--output", tmp_path, "--report"]
    evaluate.main(WING, list(map(str, arguments)))
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert figures["report"].keys() == {"box", "mask"}
    for shape, behind in figures["report"].items():
        assert behind["ap50"] == pytest.approx(figures[shape]["AP50"]) and behind["ap50"] < 100
        assert behind["errors"]["missed"] == behind["errors"]["false negatives"]
        assert behind["errors"]["missed"]["cost"] == pytest.approx(100 - behind["ap50"])
        assert [row[-1] for row in behind["confusion"]["counts"]] != [0] * len(behind["confusion"]["names"])
        assert behind["classes"].keys() == set(dataset.class_names)
    page = (tmp_path / "report.html").read_text()
    assert f"{MODEL} in fake" in page and str(dataset.annotations) in page


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "--report writes a page: say where with --output DIR"),
        (["--output", "out", "--results-only"], "--report is about figures, and --results-only gives none"),
        (["--benchmark"], "--report is about figures, and --benchmark gives none"),
    ],
)
def test_a_report_without_figures_or_a_folder_is_refused(shapes, weights, words, line):
    with pytest.raises(UserError, match=line):
        evaluate.main(WING, [MODEL, "--data", str(shapes), "--weights", str(weights), "--report", *words])


def test_evaluate_refuses_other_classes(tmp_path, shapes):
    other = save_weights(tmp_path / "other.safetensors", ["person", "circle", "rectangle", "cat"])
    with pytest.raises(UserError, match=r"class 4 is cat to .*other\.safetensors and triangle in"):
        evaluate.main(WING, [MODEL, "--data", str(shapes), "--weights", str(other)])
    fewer = save_weights(tmp_path / "fewer.safetensors", ["person"])
    with pytest.raises(UserError, match=r"fewer\.safetensors knows 1 classes, .*instances_val\.json has 4"):
        evaluate.main(WING, [MODEL, "--data", str(shapes), "--weights", str(fewer)])


def test_evaluate_takes_classes_without_names_for_the_data_sets(shapes, tmp_path, monkeypatch):
    """A checkpoint of the original's names no classes."""
    monkeypatch.setattr(FakeLearner, "answers", truth(resolve(shapes, "val")))
    settings = load_settings(MODEL)
    shapes_of = {e.original: np.zeros(e.shape, np.float32) for e in layout(settings)}
    write_pth(tmp_path / "yolact_tiny_3_1497.pth", shapes_of)
    monkeypatch.chdir(tmp_path)
    boxes = tmp_path / "boxes.json"
    arguments = ["--data", shapes, "--trained_model=yolact_tiny_3_1497.pth", "--output_coco_json", "--workers", "0"]
    evaluate.main(WING, [*map(str, arguments), f"--bbox_det_file={boxes}"])
    assert "bbox" in json.loads(boxes.read_text())[0]
    assert "segmentation" in json.loads((tmp_path / "results/mask_detections.json").read_text())[0]
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["mask_detections.json"]


def cut_short(weights, folder):
    """A canonical file and its card, and one of the original's, each without its end."""
    canonical, original = folder / "cut.safetensors", folder / "yolact_tiny_3_1497.pth"
    write(original, *convert(weights), "yolact")
    shutil.copy(weights, canonical)
    shutil.copy(weights.with_suffix(".json"), canonical.with_suffix(".json"))
    for path in (canonical, original):
        path.write_bytes(path.read_bytes()[:100_000])
    return canonical, original


@pytest.mark.parametrize("command", [predict, evaluate, train])
def test_weights_that_do_not_do_are_refused_and_nothing_is_written(tmp_path, shapes, weights, image, command):
    output = tmp_path / "out"
    canonical, original = cut_short(weights, tmp_path)
    words = [str(image)] if command is predict else ["--data", str(shapes), "--workers", "0"]
    for model, path, named in (
        ("yolact_resnet50", weights, r"w\.safetensors: these are weights of yolact_tiny, not of yolact_resnet50"),
        (MODEL, canonical, r"cut\.safetensors: not a whole safetensors file"),
        (MODEL, original, r"1497\.pth: damaged"),
        (MODEL, tmp_path / "absent.pth", r"not found: .*absent\.pth"),
    ):
        with pytest.raises(UserError, match=named):
            command.main(WING, [model, "--weights", str(path), *words, "--output", str(output)])
        assert not output.exists()


def test_evaluate_names_an_image_that_cannot_be_decoded(tmp_path, shapes, weights):
    copy = Path(shutil.copytree(shapes, tmp_path / "shapes"))
    path = sorted((copy / "val").iterdir())[2]
    path.write_bytes(path.read_bytes()[:50])
    arguments = ["--data", copy, "--weights", weights, "--output", tmp_path / "out", "--workers", 0]
    with pytest.raises(UserError, match=path.name):
        evaluate.main(WING, [MODEL, *map(str, arguments)])
    assert not (tmp_path / "out").exists()


def run_train(shapes, output, *arguments):
    train.main(WING, [MODEL, "--data", str(shapes), "--output", str(output), "--workers", "0", *map(str, arguments)])


def steps(output):
    lines = [json.loads(line) for line in (Path(output) / "log.jsonl").read_text().splitlines()]
    return [line["step"] for line in lines if "losses" in line]


def test_train_says_what_it_does_and_leaves_weights(tmp_path, shapes, capsys):
    run_train(shapes, tmp_path, "--iterations", 3, "schedule.log_every=1")
    printed = capsys.readouterr().out
    for said in ("instances_train.json: 12 images", "model yolact_tiny in fake on cpu, 4 classes", "losses B boxes"):
        assert said in printed
    assert "4,832 fixed" in printed and "from scratch (seed 0)" in printed
    assert steps(tmp_path) == [0, 1, 2]
    card = json.loads((tmp_path / "weights.json").read_text())
    assert card["classes"] == resolve(shapes, "train").class_names
    assert card["category_ids"] == resolve(shapes, "train").category_ids
    assert card["numerics"]["network.prior_ratios"] == [1.0, 0.5, 2.0]
    assert card["iteration"] == 3


def test_train_follows_the_number_of_classes_and_the_batch_size(tmp_path, shapes):
    run_train(shapes, tmp_path, "--batch_size=4", "--iterations=1", "num_classes=80")
    settings = FakeLearner.made[0].settings
    assert settings.num_classes == 4
    assert settings.schedule.learning_rate == pytest.approx(0.005)
    assert settings.schedule.steps == (2000, 2700)
    assert settings.schedule.iterations == 1


def test_train_scales_nothing_that_is_given(tmp_path, shapes):
    run_train(shapes, tmp_path, "--batch_size=4", "schedule.iterations=1", "schedule.learning_rate=0.002")
    schedule = FakeLearner.made[0].settings.schedule
    assert (schedule.batch_size, schedule.learning_rate, schedule.iterations) == (4, 0.002, 1)
    assert schedule.steps == (2000, 2700)


def test_train_resumes_only_when_told_to(tmp_path, shapes):
    run_train(shapes, tmp_path, "--iterations", 2, "schedule.log_every=1")
    with pytest.raises(UserError, match="already holds a run"):
        run_train(shapes, tmp_path, "--iterations", 3)
    run_train(shapes, tmp_path, "--iterations", 4, "--resume", "schedule.log_every=1")
    assert steps(tmp_path) == [0, 1, 2, 3]
    with pytest.raises(UserError, match="seed = 0, this run has 1"):
        run_train(shapes, tmp_path, "--iterations", 5, "--resume", "--seed", 1)
    with pytest.raises(UserError, match="nothing to resume"):
        run_train(shapes, tmp_path / "other", "--resume")


def test_train_from_weights_with_other_heads_draws_those_afresh(tmp_path, shapes, capsys):
    other = save_weights(tmp_path / "other.safetensors", ["cat", "dog"])
    run_train(shapes, tmp_path / "run", "--weights", other, "--iterations", 1)
    printed = capsys.readouterr().out
    assert "classes of head.classes, semantic\n  kept (0): none\n  drawn afresh (4): " in printed
    learned = FakeLearner.made[0].weights()
    assert np.any(learned["head.classes.weight"] != 0)
    assert np.all(learned["head.box.weight"] == 0)


def test_a_resumed_run_keeps_the_facts_of_its_weights(tmp_path, shapes, weights):
    run_train(shapes, tmp_path, "--weights", weights, "--iterations", 1)
    run_train(shapes, tmp_path, "--resume", "--iterations", 2)
    card = json.loads((tmp_path / "weights.json").read_text())
    assert card["source"] == "trained on shapes from w.safetensors (test)"
    assert card["licence"] == "derived from weights under: none"
    assert card["iteration"] == 2


def test_train_names_broken_images_before_the_first_step(tmp_path, shapes, capsys):
    copy = tmp_path / "shapes"
    shutil.copytree(shapes, copy)
    path = sorted((copy / "train").iterdir())[3]
    path.write_bytes(path.read_bytes()[:50])
    run_train(copy, tmp_path / "run", "--iterations", 1)
    printed = capsys.readouterr().out
    assert "11 images to train on" in printed
    assert path.name in printed.partition("model yolact_tiny")[0]


def test_train_goes_on_from_the_iteration_in_the_original_file_name(tmp_path, shapes, weights):
    original = tmp_path / "yolact_tiny_3_1497.pth"
    write(original, *convert(weights), "yolact")
    run_train(shapes, tmp_path / "a", f"--resume={original}", "schedule.log_every=1")
    assert steps(tmp_path / "a") == [1497, 1498, 1499]
    run_train(shapes, tmp_path / "b", f"--resume={original}", "--start_iter=1499", "schedule.log_every=1")
    assert steps(tmp_path / "b") == [1499]
    with pytest.raises(UserError, match=r"w\.safetensors: its name tells no iteration"):
        run_train(shapes, tmp_path / "c", f"--resume={weights}")


def test_a_run_of_the_original_goes_on_with_its_heads_whatever_its_classes_are_taken_for(tmp_path, shapes, weights):
    original = tmp_path / "yolact_tiny_3_1499.pth"
    arrays, card = convert(weights)
    write(original, arrays, card.model_copy(update={"classes": ("a", "b", "c", "d")}), "yolact")
    run_train(shapes, tmp_path / "a", f"--resume={original}")
    run_train(shapes, tmp_path / "b", f"--weights={original}", "--iterations=1")
    goes_on, starts_anew = (learner.weights()["head.classes.weight"] for learner in FakeLearner.made)
    assert not goes_on.any() and starts_anew.any()


def test_trace(tmp_path, weights):
    image = np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "in.npz", image=image)
    arguments = [MODEL, "--weights", str(weights), "--outputs", str(tmp_path / "out.npz"), "--inputs"]
    trace.main(WING, [*arguments, str(tmp_path / "in.npz")])
    assert np.array_equal(np.load(tmp_path / "out.npz")["twice"], 2 * image)
    np.savez(tmp_path / "other.npz", picture=image)
    np.savez(tmp_path / "flat.npz", image=image[0])
    (tmp_path / "text.npz").write_text("no arrays")
    for name, named in (("other", "no array called image"), ("flat", r"\(3, 8, 8\)"), ("text", "not a file of arrays")):
        with pytest.raises(UserError, match=rf"{name}\.npz: .*{named}"):
            trace.main(WING, [*arguments, str(tmp_path / f"{name}.npz")])
