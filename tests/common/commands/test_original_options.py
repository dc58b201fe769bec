"""The options of the originals' commands: every one is known, and those that work do what they do there.

`original_options.json` holds the names that the originals' own parsers know, and a value for each that takes one.
"""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from common.commands import evaluate, originals, predict, train
from common.data.coco import resolve
from common.data.shapes import write_shapes
from common.errors import UserError
from common.models import load_settings
from common.results import Instances
from common.weights import Card, save
from tests.common.commands.still_learner import TwoObjectsLearner, wing_with
from tests.weights_convert.originals import canonical_shapes
from torch_impl.wing import WING
from weights_convert.conversion import convert, write

ORIGINALS = json.loads(Path(__file__).with_name("original_options.json").read_text())
COMMANDS = {"train": train, "evaluate": evaluate, "predict": predict}
# What a command needs beside the option.
NEEDED = {
    "train": ["--config=yolact_tiny", "--data=d", "--output=o"],
    "evaluate": ["--config=yolact_tiny", "--data=d", "--weights=w.pth"],
    "predict": ["--config=yolact_tiny", "--weights=w.pth", "--output=o.png"],
}
# Where not any text is a value.
VALUES = {
    "--config": "yolact_base_config",
    "--config-file": "mine.yaml",
    "--resume": "yolact_base_10_32100.pth",
    "--model": "maskrcnn_resnet50_fpn",
    "--device": "cuda",
    "--lr-scheduler": "multisteplr",
    "--opt": "sgd",
}
WORDS = [
    (name, command, option, value)
    for name, original in ORIGINALS.items()
    for command in original["commands"]
    for option, value in original["options"].items()
]


def read(command: str, *words: object):
    """A command's arguments and settings."""
    arguments = COMMANDS[command]._parser(WING).read([*NEEDED[command], *map(str, words)])
    return arguments, load_settings(arguments.model, arguments.overrides)


@pytest.mark.parametrize(("name", "command", "option", "value"), WORDS)
@pytest.mark.parametrize("joined", [True, False])
def test_every_option_of_the_originals_is_known(name, command, option, value, joined, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("base: yolact_tiny\n")
    names_model = option in ("--config", "--model", "--config-file")
    needed = NEEDED[command][names_model:]
    value = value and VALUES.get(option, value)
    words = [option] if value is None else [f"{option}={value}"] if joined else [option, value]
    try:
        COMMANDS[command]._parser(WING).read([*needed, *words])
    except UserError as error:
        # Its own line, and not that of a value or of a missing argument.
        assert str(error).startswith(f"{option}: "), error
        assert "unrecognized" not in str(error) and len(str(error)) < 400


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_nobodys_option_stays_unknown(command):
    with pytest.raises(UserError, match="unrecognized arguments: --nonsense"):
        read(command, "--nonsense=1")


def test_help_shows_each_originals_options_apart(capsys):
    with pytest.raises(SystemExit):
        evaluate._parser(WING).parse_args(["--help"])
    shown = capsys.readouterr().out
    of_yolact = shown.partition("options of YOLACT's own commands:")[2].partition("examples:")[0]
    assert "--no_crop" in of_yolact and "detection.crop=false" in of_yolact
    assert "answered by a line that says what to use instead: --dataset, --display," in " ".join(of_yolact.split())
    assert "--max-images N, --max_images N" in shown


def test_an_original_is_found_by_its_file(tmp_path, monkeypatch):
    """In a folder that the search path of the package names."""
    (tmp_path / "some_original.py").write_text(
        "from common.commands.options import Setting\n"
        "from common.commands.originals import Original\n"
        "ORIGINAL = Original('some', {'train': [Setting(('--eta',), 'schedule.learning_rate', float)]})\n"
    )
    with pytest.raises(UserError, match="unrecognized arguments: --eta=3"):
        read("train", "--eta=3")
    monkeypatch.setattr(originals, "__path__", [*originals.__path__, str(tmp_path)])
    originals.all_originals.cache_clear()
    try:
        assert read("train", "--eta=3")[1].schedule.learning_rate == 3
    finally:
        originals.all_originals.cache_clear()


TRAINING = [
    ("--lr=0.002", "schedule.learning_rate", 0.002),
    ("--learning_rate=1e-05", "schedule.learning_rate", 1e-5),
    ("--momentum=0.8", "schedule.momentum", 0.8),
    ("--decay=0.1", "schedule.weight_decay", 0.1),
    ("--weight_decay=0.1", "schedule.weight_decay", 0.1),
    ("--wd=0.1", "schedule.weight_decay", 0.1),
    ("--gamma=0.5", "schedule.gamma", 0.5),
    ("--lr-gamma=0.5", "schedule.gamma", 0.5),
    ("--no_autoscale", "schedule.autoscale", False),
    ("--save_interval=50", "schedule.checkpoint_every", 50),
    ("--keep_latest", "schedule.checkpoints_kept", 1),
    ("--keep_latest", "schedule.keep_every", 100_000),
    ("--validation_epoch=3", "schedule.evaluate_epochs", 3),
    ("--lr-scheduler=CosineAnnealingLR", "schedule.decay", "cosine"),
    ("--print-freq=7", "schedule.log_every", 7),
    ("--opt=AdamW", "schedule.optimizer", "adamw"),
]


@pytest.mark.parametrize(("word", "path", "value"), TRAINING)
def test_options_that_are_settings(word, path, value):
    _, settings = read("train", word)
    for name in path.split("."):
        settings = getattr(settings, name)
    assert settings == value


def test_options_that_go_together_and_what_comes_first():
    _, settings = read("train", "--keep_latest_interval=200", "--keep_latest", "--lr=1", "schedule.learning_rate=2")
    assert (settings.schedule.checkpoints_kept, settings.schedule.keep_every) == (1, 200)
    assert settings.schedule.learning_rate == 2
    found, _ = read("train", "--validation_epoch=-1", "--cuda=False")
    assert found.skip_test and found.device == "cpu"
    found, settings = read("train", "--cuda=True", "--model=maskrcnn_resnet50_fpn", "--trainable-backbone-layers", "4")
    assert (found.device, settings.network.frozen_stages) == ("auto", 1)
    assert read("train", "-b", "4", "-j", "0", "--data-path=x")[0].batch_size == 4


def test_values_that_ask_for_nothing_are_accepted():
    for command, word in (
        ("evaluate", "--display_lincomb=False"),
        ("train", "--num-gpus=1"),
        ("train", "--dataset=coco"),
        ("train", "--data-augmentation=hflip"),
        ("predict", "--video_multiframe=4"),
    ):
        read(command, word)
    for command, word, line in (
        ("evaluate", "--display_lincomb=True", r"python -m torch_impl\.trace writes"),
        ("train", "--num-gpus=8", r"torchrun --nproc_per_node=N -m torch_impl\.train"),
        ("train", "--dataset=coco2017_dataset", "--data ROOT"),
        ("predict", "--input=photos/*.jpg", "give the folder"),
    ):
        with pytest.raises(UserError, match=line):
            read(command, word)


def test_predictions_inputs_as_detectron2_names_them():
    assert read("predict", "--webcam")[0].video == "0"
    assert read("predict", "--input", "a.jpg", "--confidence-threshold", "0.6", "--opts")[0].image == "a.jpg"
    found, settings = read("predict", "--config=mask_rcnn_r50_fpn", "--min-image-size=300", "--video-input=x.mp4")
    assert (found.video, settings.preprocessing.short_side) == ("x.mp4", 300)


def test_mmdetections_commands():
    name = "cascade_mask_rcnn_swin_tiny_patch4_window7_mstrain_480-800_giou_4conv1f_adamw_1x_coco"
    options = "model.pretrained=swin.pth model.backbone.use_checkpoint=True optimizer.lr=5e-5"
    words = f"{name} --cfg-options {options} --work-dir o --no-validate --seed 3 --gpus 1 --launcher pytorch --data d"
    arguments = train._parser(WING).read(words.split())
    assert (arguments.weights, arguments.output, arguments.seed) == (Path("swin.pth"), Path("o"), 3)
    assert arguments.skip_test
    settings = load_settings(arguments.model, arguments.overrides)
    assert (settings.model, settings.schedule.learning_rate) == ("cascade_mask_rcnn_swin_t_1x", 5e-5)
    words = (
        f"{name} cascade.pth --eval bbox segm --data d --format-only --cfg-options model.test_cfg.rcnn.score_thr=0.1"
    )
    arguments = evaluate._parser(WING).read(words.split())
    assert (arguments.weights, arguments.max_dets) == (Path("cascade.pth"), (100, 300, 1000))
    assert arguments.results_only and arguments.data == Path("d")
    assert load_settings(arguments.model, arguments.overrides).detection.score_threshold == 0.1
    assert read("evaluate", "--eval", "bbox", "--max-dets=1,10,100")[0].max_dets == (1, 10, 100)
    assert read("evaluate")[0].max_dets is None
    found, _ = read("evaluate", "--eval-options", "jsonfile_prefix=out/r", "classwise=False")
    assert (found.bbox_det_file, found.mask_det_file) == (Path("out/r.bbox.json"), Path("out/r.segm.json"))
    assert found.panoptic_det_file == Path("out/r.panoptic.json")
    arguments = predict._parser(WING).read(f"a.jpg {name} w.pth --score-thr 0.4 --out-file found.png".split())
    assert (arguments.model, arguments.input, arguments.weights) == (name, "a.jpg", Path("w.pth"))
    assert (arguments.score_threshold, arguments.output) == (0.4, Path("found.png"))
    arguments = predict._parser(WING).read(f"{name} w.pth --camera-id 1 --out film.mp4".split())
    assert (arguments.weights, arguments.video, arguments.input) == (Path("w.pth"), "1", None)


def test_mmdetections_panoptic_models():
    name = "mask2former_swin-l-p4-w12-384-in21k_lsj_16x1_100e_coco-panoptic"
    words = (
        f"{name} w.pth --eval PQ segm --data d --cfg-options model.test_cfg.iou_thr=0.7 model.test_cfg.max_per_image=9"
    )
    arguments = evaluate._parser(WING).read(words.split())
    settings = load_settings(arguments.model, arguments.overrides)
    assert settings.model == "mask2former_swin_l" and arguments.rated == {"panoptic": "PQ", "mask": "segm"}
    assert (settings.detection.overlap_threshold, settings.detection.max_detections) == (0.7, 9)
    words = "train_cfg.max_iters=9 optim_wrapper.clip_grad.max_norm=0.1 model.panoptic_head.num_queries=7"
    words = f"{name} --work-dir o --data d --cfg-options {words} model.train_cfg.num_points=5"
    arguments = train._parser(WING).read(words.split())
    settings = load_settings(arguments.model, arguments.overrides)
    assert (settings.schedule.iterations, settings.schedule.clip_norm) == (9, 0.1)
    assert (settings.network.queries, settings.losses.points) == (7, 5)
    for model, asked, line in (
        (name, "bbox", "--eval bbox: mask2former_swin_l is rated by panoptic, mask, semantic"),
        ("yolact_tiny", "PQ", "--eval PQ: yolact_tiny is rated by box, mask"),
    ):
        with pytest.raises(UserError, match=line):
            evaluate.main(WING, [model, "--weights=w.pth", "--data=d", "--eval", asked])


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("mask2former_r50_8xb2-lsj-50e_coco", "mask2former_r50_instances"),
        ("mask2former_r50_8xb2-lsj-50e_coco-panoptic", "mask2former_r50"),
        ("mask2former_swin-b-p4-w12-384-in21k_8xb2-lsj-50e_coco-panoptic", "mask2former_swin_b_in21k"),
        ("damo/cv_swinL_panoptic-segmentation_cocopan", "mask2former_swin_l"),
        ("facebook/mask2former-swin-base-IN21k-coco-instance", "mask2former_swin_b_in21k_instances"),
    ],
)
def test_names_of_mask2formers_by_others(name, variant):
    assert load_settings(name).model == variant
    if "/" not in name:  # mmdetection's
        with pytest.raises(
            UserError, match=f"are a program are not run; give the model {variant}, which stands for it"
        ):
            load_settings(f"configs/mask2former/{name}.py")


@pytest.mark.parametrize(
    ("words", "path", "value"),
    [
        ("optimizer.type=AdamW", "schedule.optimizer", "adamw"),
        ("optim_wrapper.optimizer.weight_decay=0.1", "schedule.weight_decay", 0.1),
        ("lr_config.warmup_iters=1000", "schedule.warmup_iterations", 1000),
        ("evaluation.interval=2", "schedule.evaluate_epochs", 2),
        ("model.backbone.drop_path_rate=0.3", "network.drop_path", 0.3),
        ("model.backbone.depths=[1,1,3,1]", "network.backbone.depths", (1, 1, 3, 1)),
        ("model.backbone.num_heads=1,2,4,4 model.test_cfg.rpn.nms_pre=50", "network.backbone.heads", (1, 2, 4, 4)),
        ("model.backbone.num_heads=1,2,4,4 model.test_cfg.rpn.nms_pre=50", "rpn.inference.before_nms", 50),
        ("model.train_cfg.rpn_proposal.max_per_img=70", "rpn.training.total", 70),
        ("model.train_cfg.rcnn.sampler.num=48", "losses.regions_per_image", 48),
    ],
)
def test_keys_of_mmdetections_configuration(words, path, value):
    read_words = ["cascade_mask_rcnn_tiny", "--data=d", "--output=o", "--cfg-options", *words.split()]
    arguments = train._parser(WING).read(read_words)
    settings = load_settings(arguments.model, arguments.overrides)
    for name in path.split("."):
        settings = getattr(settings, name)
    assert settings == value


@pytest.mark.parametrize(
    ("command", "words", "line"),
    [
        ("train", "--cfg-options data.samples_per_gpu=4", "data.samples_per_gpu: a batch is counted over all"),
        ("train", "--cfg-options runner.max_epochs=4", "runner.max_epochs: training is counted in steps"),
        ("train", "--cfg-options optimiser.lr=4", "optimiser.lr: .*; known there is optimizer.lr"),
        ("train", "--cfg-options lr", "'lr' is not KEY=VALUE"),
        ("train", "--resume-from epoch_3.pth", "--resume-from: a run goes on by --resume"),
        ("train", "--gpus 8", "--gpus: one process a device is started by torchrun"),
        ("train", "--gpu-ids 0 1", "--gpu-ids: cards are chosen by CUDA_VISIBLE_DEVICES"),
        ("train", "--launcher slurm", "--launcher: one process a device"),
        ("evaluate", "--eval bbox proposal", "--eval: proposal is not rated"),
        ("evaluate", "--eval-options classwise=True", "--eval-options: classwise: the figures are those of all"),
        ("evaluate", "--eval-options proposal_nums=(1,2,100)", "--max-dets 1,2,100"),
        ("evaluate", "--out results.pkl", "--out: results are written as COCO's JSON"),
    ],
)
def test_lines_that_answer_mmdetections_options(command, words, line):
    with pytest.raises(UserError, match=line):
        read(command, *words.split())


def test_pose2segs_command_names_neither_model_nor_data():
    found = evaluate._parser(WING).read(["--weights", "last.pkl", "--coco", "--OCHuman"])
    assert (found.model, found.data) == ("pose2seg", Path("data"))
    with pytest.raises(UserError, match="required: --data"):
        evaluate._parser(WING).read(["--weights", "last.pkl"])


class Finder(TwoObjectsLearner):
    """Finds two objects in every image, or what `answers` yields; a training step changes nothing."""

    def train_step(self, batch, rate):
        return {"B": 1.0}


FINDING = wing_with(lambda: Finder)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes", images=12, seed=0, val_images=6)


@pytest.fixture(scope="module")
def weights(tmp_path_factory, shapes):
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    return save_weights(path, shapes)


def save_weights(path, shapes, value=0.0):
    classes = resolve(shapes, "val").class_names
    settings = load_settings("yolact_tiny", [f"num_classes={len(classes)}"])
    arrays = {name: np.full(shape, value, np.float32) for name, shape in canonical_shapes(settings).items()}
    facts = {"model": "yolact_tiny", "source": "test", "licence": "none", "preprocessing": settings.preprocessing}
    save(path, arrays, Card(**facts, classes=tuple(classes)))
    return path


def rate(shapes, weights, output, *words):
    """What `evaluate` writes: the boxes' results and the figures."""
    arguments = ["--data", shapes, "--weights", weights, "--output", output, "--workers", 0, *words]
    evaluate.main(FINDING, ["yolact_tiny", *map(str, arguments)])
    return [json.loads((output / name).read_text()) for name in ("box_results.json", "metrics.json")]


def test_rating_a_part_of_the_images(tmp_path, shapes, weights, monkeypatch):
    dataset = resolve(shapes, "val")
    results, _ = rate(shapes, weights, tmp_path / "all", "--max_images=-1")
    assert {entry["image_id"] for entry in results} == set(dataset.image_ids.tolist())
    results, _ = rate(shapes, weights, tmp_path / "file", "--max_images=2", "--no_sort")
    assert {entry["image_id"] for entry in results} == set(dataset.image_ids[:2].tolist())
    drawn = [
        {entry["image_id"] for entry in rate(shapes, weights, tmp_path / "s", *words.split())[0]}
        for words in ("--max_images=3 --shuffle --seed=1", "--max_images=3 --shuffle --seed=1", "--max_images=3")
    ]
    assert drawn[0] == drawn[1] != drawn[2] and len(drawn[2]) == 3
    # The others, in which nothing is found, do not count.
    part = dataset.select_images(np.arange(2))
    truth = [
        Instances(sample.image.shape[:2], sample.boxes, np.ones(len(sample.labels), np.float32), sample.labels,
                  sample.masks.astype(bool))
        for sample in map(part.load, range(2))
    ]  # fmt: skip
    monkeypatch.setattr(Finder, "answers", iter(truth))
    _, figures = rate(shapes, weights, tmp_path / "part", "--max_images=2", "--no_sort")
    assert figures["mask"]["AP"] == pytest.approx(100)


def test_rating_with_a_threshold_and_the_best_alone(tmp_path, shapes, weights):
    everything, _ = rate(shapes, weights, tmp_path)
    assert sorted(entry["score"] for entry in everything) == pytest.approx([0.3] * 6 + [0.9] * 6)
    for words in ("--score_threshold=0.5", "--top_k=1"):
        found, _ = rate(shapes, weights, tmp_path, words)
        assert [entry["score"] for entry in found] == pytest.approx([0.9] * 6)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("100,300", "not three numbers"),
        ("a,b,c", "not three numbers"),
        ("-1,10,100", "not three numbers"),
        ("0,10,100", "ascend from 1"),
        ("100,100,1000", "ascend from 1"),
        ("1000,300,100", "ascend from 1"),
        ("1,10,50", "100 has to be among them"),
    ],
)
def test_limits_of_detections_that_cannot_be(words, line):
    with pytest.raises(UserError, match=f"--max-dets: .*{line}"):
        read("evaluate", f"--max-dets={words}")


def test_rating_by_mmdetections_limits(tmp_path, shapes, weights):
    _, figures = rate(shapes, weights, tmp_path, "--max-dets", "100,300,1000")
    for name in ("box", "mask"):
        assert {"AR100", "AR300", "AR1000"} < figures[name].keys() and len(figures[name]) == 12
    logged = (tmp_path / "evaluation.log").read_text()
    assert logged.count("maxDets=1000 ]") == 2 * 9 and logged.count("maxDets=100 ]") == 2 * 2


def test_benchmark_tells_the_speed_and_what_is_timed(tmp_path, shapes, weights, capsys):
    words = ["--data", shapes, "--trained_model", weights, "--benchmark", "--max_images=5", "--output", tmp_path / "o"]
    evaluate.main(FINDING, ["yolact_tiny", *map(str, words)])
    printed = capsys.readouterr().out
    # The first two are not counted.
    assert "3 images one by one on cpu: " in printed and "images a second" in printed
    assert "inside the timer: the network" in printed and "outside: reading" in printed
    assert "AP" not in printed and not (tmp_path / "o").exists()


def test_parts_of_what_is_drawn(tmp_path, shapes, weights):
    image = sorted((shapes / "val").iterdir())[0]
    before = cv2.imread(str(image)).astype(int)

    def drawn(*words):
        arguments = ["--weights", weights, image, "--output", tmp_path / "a.png", *words]
        predict.main(FINDING, ["yolact_tiny", *map(str, arguments)])
        return cv2.imread(str(tmp_path / "a.png")).astype(int)

    everything = drawn()
    inside, edge = (slice(25, 35), slice(20, 40)), (slice(38, 42), slice(20, 40))
    assert (everything[inside] != before[inside]).any() and (everything[edge] != before[edge]).any()
    for words in (["--display_masks=False"], ["--detect"]):
        boxes_alone = drawn(*words, "--display_text=False")
        assert np.array_equal(boxes_alone[inside], before[inside])
        assert (boxes_alone[edge] != before[edge]).any()
    off = ["--display_masks=0", "--display_bboxes=0", "--display_text=0"]
    assert np.array_equal(drawn(*off), before)
    names = drawn(*off[:2])
    without_scores = drawn(*off[:2], "--display_scores=False")
    changed, narrower = ((each != before).any(axis=2).sum() for each in (names, without_scores))
    assert changed > narrower > 0


def run_train(shapes, output, *words):
    arguments = ["--data", shapes, "--save_folder", output, "--workers", 0, "schedule.log_every=1", *words]
    train.main(FINDING, ["yolact_tiny", *map(str, arguments)])


def evaluated(monkeypatch):
    """The image ids of each evaluation in training."""
    seen = []

    def predict_dataset(learner, settings, dataset, *_, **__):
        seen.append(dataset.image_ids.tolist())
        return {"box": [], "mask": []}

    monkeypatch.setattr("common.evaluation.inference.predict_dataset", predict_dataset)
    return seen


def test_training_keeps_the_checkpoints_that_are_wanted(tmp_path, shapes):
    run_train(shapes, tmp_path / "a", "--iterations=9", "--skip-test", "--save_interval=1")
    words = ["--iterations=9", "--skip-test", "--save_interval=1", "--keep_latest"]
    run_train(shapes, tmp_path / "b", *words)
    run_train(shapes, tmp_path / "c", *words, "--keep_latest_interval=4")
    run_train(shapes, tmp_path / "d", *words[:3], "schedule.checkpoints_kept=0")
    kept = {run: sorted(path.name[-1] for path in (tmp_path / run / "checkpoints").iterdir()) for run in "abcd"}
    assert kept == {"a": list("789"), "b": ["9"], "c": list("489"), "d": list("123456789")}


def test_training_validates_on_a_part_and_logs_elsewhere_or_not(tmp_path, shapes, monkeypatch):
    seen = evaluated(monkeypatch)
    run_train(shapes, tmp_path / "a", "--iterations=1", "--validation_size=2", f"--log_folder={tmp_path / 'logs'}")
    assert len(seen) == 1 and len(seen[0]) == 2
    assert (tmp_path / "logs" / "log.jsonl").is_file() and not (tmp_path / "a" / "log.jsonl").exists()
    with pytest.raises(UserError, match=r"logs/log\.jsonl is the log of another run"):
        run_train(shapes, tmp_path / "b", "--iterations=1", f"--log_folder={tmp_path / 'logs'}")
    run_train(shapes, tmp_path / "c", "--iterations=1", "--no_log")
    assert len(seen) == 2 and sorted(seen[1]) == resolve(shapes, "val").image_ids.tolist()
    assert not (tmp_path / "c" / "log.jsonl").exists() and (tmp_path / "c" / "weights.safetensors").is_file()


def steps(output):
    lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    return [line["step"] for line in lines if "losses" in line]


@pytest.mark.parametrize("word", ["--resume=interrupt", "--resume=latest", "--resume latest"])
def test_training_goes_on_from_what_is_saved(tmp_path, shapes, weights, word):
    words = word.split()
    with pytest.raises(UserError, match=r"holds neither a run's checkpoint nor a yolact_tiny_EPOCH_ITERATION\.pth"):
        run_train(shapes, tmp_path / "none", *words, "--skip-test")
    run_train(shapes, tmp_path / "ours", "--iterations=2", "--skip-test")
    run_train(shapes, tmp_path / "ours", "--iterations=3", "--skip-test", *words)
    assert steps(tmp_path / "ours") == [0, 1, 2]
    theirs = tmp_path / "theirs"
    for name in ("yolact_tiny_1_20.pth", "yolact_base_9_999.pth", "yolact_tiny_3_1498_interrupt.pth"):
        write(theirs / name, *convert(weights), "yolact")
    run_train(shapes, theirs, "--skip-test", *words)
    assert steps(theirs) == [1498, 1499]


def test_trained_models_that_are_the_latest(tmp_path, shapes, weights, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="latest: no weights of yolact_tiny are saved in"):
        read("evaluate", "--trained_model=latest")
    for name in ("yolact_tiny_1_20.pth", "yolact_tiny_2_9_interrupt.pth", "yolact_base_7_70.pth"):
        write(tmp_path / "weights" / name, *convert(weights), "yolact")

    def chosen(*words):
        return evaluate._parser(WING).read(["--data=d", *words]).weights.name

    assert chosen("yolact_tiny", "--trained_model=latest") == "yolact_tiny_1_20.pth"
    assert chosen("yolact_tiny", "--trained_model=interrupt") == "yolact_tiny_2_9_interrupt.pth"
    assert chosen("--trained_model=latest") == "yolact_base_7_70.pth"
    run_train(shapes, tmp_path / "weights", "--iterations=30", "--skip-test")
    found = evaluate._parser(WING).read(["--data=d", "yolact_tiny", "--trained_model=latest"]).weights
    assert found == Path("weights/checkpoints/step_000030/weights.safetensors")


def test_several_test_sets_of_a_configuration_are_rated_in_one_run(tmp_path, shapes, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "coco").symlink_to(shapes)
    (tmp_path / "e2e.yaml").write_text(
        "MODEL: {MASK_ON: True}\nOUTPUT_DIR: out\nDATASETS: {TEST: [coco_2014_minival, coco_2017_train]}\n"
    )
    settings = load_settings("mask_rcnn_tiny")
    card = Card(
        model="mask_rcnn_tiny",
        source="test",
        licence="none",
        preprocessing=settings.preprocessing,
        classes=tuple(resolve(shapes, "val").class_names),
    )
    monkeypatch.setattr(evaluate, "open_model", lambda *_: (Finder(settings), settings, card))
    evaluate.main(FINDING, ["--config-file=e2e.yaml", "--ckpt=w.pth", "--workers=0"])
    for name, images in (("coco_2014_minival", 6), ("coco_2017_train", 12)):
        found = json.loads((tmp_path / "out" / "inference" / name / "bbox.json").read_text())
        assert len({entry["image_id"] for entry in found}) == images
    assert "6 images of" in capsys.readouterr().out


def test_the_words_of_mindspores_zoo_name_its_model_and_a_record(tmp_path):
    words = ["--mindrecord_path", tmp_path / "record", "--not_mask=True", "--device_id=0", "--base_lr=0.01"]
    arguments = train._parser(WING).read([*map(str, words), "--output_path", str(tmp_path / "run")])
    assert arguments.data.folder == tmp_path / "record" and arguments.output == tmp_path / "run"
    settings = load_settings(arguments.model, arguments.overrides)
    assert (settings.model, settings.variant) == ("point_rend_r50_fpn_mindspore", "index")
    assert settings.schedule.learning_rate == 0.01
    words = ["--coco_root", tmp_path, "--pretrained_path", tmp_path / "mask_rcnn-12_7393.ckpt", "--not_mask=False"]
    arguments = train._parser(WING).read([*map(str, words), "--output=o"])
    assert arguments.data == tmp_path and arguments.weights.name == "mask_rcnn-12_7393.ckpt"
    assert load_settings(arguments.model, arguments.overrides).variant == "mask"
    words = ["--data_path", tmp_path, "--checkpoint_path", tmp_path / "w.ckpt", "--mindrecord_path=unused"]
    arguments = evaluate._parser(WING).read(list(map(str, words)))
    assert (arguments.data, arguments.weights, arguments.model) == (
        tmp_path,
        tmp_path / "w.ckpt",
        "point_rend_r50_fpn_mindspore",
    )
    with pytest.raises(UserError, match="--device_id: a card is chosen by CUDA_VISIBLE_DEVICES=N"):
        read("train", "--device_id=3")
