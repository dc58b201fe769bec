"""--config-file and KEY VALUE pairs as the commands read them."""

from pathlib import Path

import pytest

from common.commands import evaluate, predict, train
from common.errors import UserError
from common.models import load_settings
from torch_impl.wing import WING


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("e2e.yaml").write_text("MODEL:\n  MASK_ON: True\n  WEIGHT: there.pth\nSOLVER:\n  BASE_LR: 0.01\n")
    return "--config-file=e2e.yaml"


def read(command, *words):
    arguments = command._parser(WING).read([str(word) for word in words])
    return arguments, load_settings(arguments.model, arguments.overrides)


def test_training_as_the_original_is_called(config):
    found, settings = read(
        train,
        *("--local_rank=1", "--config-file", "e2e.yaml", "--skip-test", "--data", "mine", "SOLVER.IMS_PER_BATCH", "2"),
        *("SOLVER.STEPS", "(480000, 640000)", "OUTPUT_DIR", "out", "DATALOADER.NUM_WORKERS", "0"),
        "schedule.log_every=5",
    )
    assert (found.model, found.data, found.output) == ("mask_rcnn_r50_c4", Path("mine"), Path("out"))
    assert (found.weights, found.skip_test, found.workers) == (Path("there.pth"), True, 0)
    schedule = settings.schedule
    assert (schedule.batch_size, schedule.steps, schedule.learning_rate) == (2, (480000, 640000), 0.01)
    assert schedule.log_every == 5


def test_what_the_command_line_says_comes_first(config):
    found, settings = read(
        train,
        *(config, "--data=mine", "--output=here", "--weights=other.pth", "schedule.learning_rate=0.5"),
        *("OUTPUT_DIR", "out", "SOLVER.BASE_LR", "0.2"),
    )
    assert (found.output, found.weights, settings.schedule.learning_rate) == (Path("here"), Path("other.pth"), 0.5)
    found, _ = read(evaluate, config, "--data=mine", "--batch-size=4", "TEST.IMS_PER_BATCH", "1")
    assert found.batch_size == 4


def test_evaluation_as_the_original_is_called(config):
    found, _ = read(evaluate, config, "--data=mine", "--ckpt", "model_final.pth", "TEST.IMS_PER_BATCH", "1")
    assert (found.weights, found.batch_size, found.output) == (Path("model_final.pth"), 1, None)


def test_prediction(config):
    found, settings = read(predict, config, "IMG.JPG", "INPUT.MIN_SIZE_TEST", "600", "--output=out.png")
    assert (found.input, found.weights, settings.preprocessing.short_side) == ("IMG.JPG", Path("there.pth"), 600)


def test_a_file_of_ours(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("base: mask_rcnn_tiny\nnum_classes: 3\n")
    _, settings = read(evaluate, "--config-file", path, "--data=mine", "--weights=w.pth")
    assert (settings.model, settings.num_classes) == ("mine", 3)
    with pytest.raises(UserError, match=r"SOLVER\.BASE_LR changes a file of Mask2Former or maskrcnn-benchmark, given"):
        read(evaluate, "--config-file", path, "--data=mine", "--weights=w.pth", "SOLVER.BASE_LR", "1")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["mask_rcnn_r50_c4", "--output=o", "--data=d"], r"unexpected argument mask_rcnn_r50_c4"),
        ([], r"the following arguments are required: --output"),
        (["--output=o"], r"e2e\.yaml, by default: DATASETS\.TRAIN: nothing is given"),
        (["--output=o", "--data=d", "SOLVER.BASE_RATE", "1"], r"command line: unknown key SOLVER\.BASE_RATE"),
        (["--output=o", "--data=d", "MODEL.RETINANET_ON", "True"], r"command line: MODEL\.RETINANET_ON: True is not"),
        (["--output=o", "--data=d", "MODEL.WEIGHT"], r"command line: MODEL\.WEIGHT: its value is missing"),
    ],
)
def test_what_is_wrong_is_named(config, words, line):
    with pytest.raises(UserError, match=line):
        read(train, config, *words)


def test_the_file_as_a_model_is_told_where_it_belongs(config):
    with pytest.raises(UserError, match=r"e2e\.yaml is a file of maskrcnn-benchmark; give it as --config-file"):
        read(train, "e2e.yaml", "--output=o", "--data=d")


def test_pairs_need_the_file():
    with pytest.raises(UserError, match=r"as --config-file; for a model by its name it is schedule\.learning_rate="):
        read(evaluate, "mask_rcnn_r50_fpn", "--data=d", "--weights=w", "SOLVER.BASE_LR", "1")


def test_help_tells_both_ways_of_calling(capsys):
    with pytest.raises(SystemExit):
        train._parser(WING).parse_args(["--help"])
    shown = capsys.readouterr().out
    assert "torch_impl.train MODEL --data ROOT" in shown and "torch_impl.train --config-file FILE" in shown
