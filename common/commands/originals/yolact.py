"""YOLACT's train.py, and its eval.py, for which evaluate and predict stand here: their options, and what runs save.

Runs save NAME_EPOCH_ITERATION.pth, or NAME_EPOCH_ITERATION_interrupt.pth where they are stopped. `latest` and
`interrupt` mean the last of these in a folder, as weights or to go on from; in place of a file they may find a run of
ours.
"""

import re
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.commands.arguments import at_least, truth
from common.commands.options import Also, Argument, Instead, Setting, Silent, Switch
from common.commands.originals import Original, SavedRuns
from common.errors import UserError
from common.models import load_settings
from common.training import checkpoints
from common.weights import load_card

_FALSE = ("no", "false", "f", "n", "0")

_CUDA = Argument(("--cuda",), "false: --device cpu", lambda wanted: {} if wanted else {"device": "cpu"}, type=truth)
_DATASET = Instead(
    ("--dataset",),
    "data are named by their folder: --data ROOT (YOLACT's ./data/coco with annotations/instances_val2017.json and"
    " val2017 is --data data/coco)",
    harmless=("coco",),
)


# NMS in the words of eval.py; `_settled_nms` says what they mean together.
_NMS = (
    Argument(("--fast_nms",), "false: detection.nms=exact", lambda value: {"fast_nms": value}, truth),
    Argument(
        ("--cross_class_nms",), "true: detection.nms=cross_class", lambda value: {"cross_class_nms": value}, truth
    ),
)


def _settled_nms(arguments: Namespace) -> list[str]:
    """The override that the options for NMS stand for; without fast NMS there is no cross-class one."""
    fast, cross_class = (getattr(arguments, name, None) for name in ("fast_nms", "cross_class_nms"))
    if fast is False:
        return ["detection.nms=exact"]
    if cross_class is not None:
        return [f"detection.nms={'cross_class' if cross_class else 'fast'}"]
    return ["detection.nms=fast"] if fast else []


def _validation(epochs: int) -> dict[str, Any]:
    if epochs <= 0:
        return {"skip_test": True}
    return {"overrides": [f"schedule.evaluate_epochs={epochs}", "schedule.evaluate_every=0"]}


_TRAIN = (
    Setting(("--lr", "--learning_rate"), "schedule.learning_rate", float),
    Setting(("--momentum",), "schedule.momentum", float),
    Setting(("--decay", "--weight_decay"), "schedule.weight_decay", float),
    Setting(("--gamma",), "schedule.gamma", float),
    Switch(("--no_autoscale",), ("schedule.autoscale=false",)),
    Setting(("--save_interval",), "schedule.checkpoint_every", at_least(1)),
    Switch(("--keep_latest",), ("schedule.checkpoints_kept=1", "schedule.keep_every=100000")),
    Setting(("--keep_latest_interval",), "schedule.keep_every", int),
    Also(("--log_folder",), "--log-folder"),
    Also(("--no_log",), "--no-log"),
    Also(("--validation_size",), "--validation-size"),
    Argument(("--validation_epoch",), "schedule.evaluate_epochs=VALUE; -1: --skip-test", _validation, type=int),
    _CUDA,
    _DATASET,
    Instead(("--log_gpu",), "the graphics card is not logged: run nvidia-smi --loop=10 beside the training"),
    Instead(
        ("--no_interrupt",),
        "a run that is stopped always leaves a checkpoint; a second Ctrl-C stops it at once and leaves none",
    ),
    Instead(
        ("--batch_alloc",),
        "processes share a batch evenly: start one a device with torchrun and give the whole batch as --batch-size N",
    ),
)

_OF_PREDICT = "this is for images that are not rated: {predict} has it"
_OF_EVALUATE = "this is for the images of a data set: {evaluate} has it"
_DISPLAY = Instead(
    ("--display",),
    "no window is opened: {predict} MODEL --weights FILE FOLDER --output OUT draws the images of a folder",
)
_SPEED = "the speed is told by {evaluate} --benchmark, and of a video by the bar of {predict}"
_AP_DATA = (
    "what was found is kept as COCO results, which any tool for COCO rates again: {evaluate} --output DIR, or"
    " --bbox_det_file and --mask_det_file"
)
_STAGES = "{trace} writes the prototypes as `proto` and the coefficients as `mask`"
_EVAL = (
    *_NMS,
    _CUDA,
    _DATASET,
    _DISPLAY,
    Switch(("--no_crop",), ("detection.crop=false",)),
    Silent(("--no_bar",), "a bar is shown on a terminal alone"),
    Instead(("--ap_data_file",), _AP_DATA),
    Instead(("--resume",), _AP_DATA),
    Instead(
        ("--output_web_json", "--web_det_path"),
        "there is no web viewer: {predict} draws, {evaluate} --output DIR writes COCO results",
    ),
    Instead(("--display_lincomb",), _STAGES, harmless=_FALSE),
    Instead(("--mask_proto_debug",), _STAGES),
    Instead(("--display_fps",), _SPEED),
    Instead(("--emulate_playback",), f"a video keeps its own frame rate; {_SPEED}"),
    Silent(("--video_multiframe",), "frames are taken one by one, and found is the same", takes_value=True),
)

_EVALUATE = (
    *_EVAL,
    Also(("--max_images",), "--max-images"),
    Also(("--no_sort",), "--no-sort"),
    Also(("--score_threshold",), "--score-threshold"),
    Also(("--top_k",), "--top-k"),
    Instead(("--image",), _OF_PREDICT),
    Instead(("--images",), _OF_PREDICT),
    Instead(("--video",), _OF_PREDICT),
    Instead(
        ("--detect",),
        "masks are always rated beside the boxes; {predict} --detect draws the boxes alone",
    ),
    *(
        Silent((f"--display_{part}",), "nothing is drawn here", takes_value=True)
        for part in ("masks", "bboxes", "text", "scores")
    ),
)

_PREDICT = (
    *_EVAL,
    Also(("--display_masks",), "--draw-masks"),
    Also(("--display_bboxes",), "--draw-boxes"),
    Also(("--display_text",), "--draw-names"),
    Also(("--display_scores",), "--draw-scores"),
    Argument(("--detect",), "--draw-masks false", lambda _: {"draw_masks": False}, type=None),
    *(
        Instead((name,), _OF_EVALUATE)
        for name in ("--max_images", "--shuffle", "--benchmark", "--output_coco_json", "--bbox_det_file")
    ),
    Instead(("--mask_det_file",), _OF_EVALUATE),
    Silent(("--no_sort",), "images come by their names"),
    Silent(("--seed",), "nothing is shuffled", takes_value=True),
)

_WORDS = ("latest", "interrupt")
_FOLDER = Path("weights")  # where eval.py looks
_FILE = re.compile(r"(?P<name>.+)_\d+_(?P<iteration>\d+)(?P<stopped>_interrupt)?")


def _resumed_words(words: Sequence[str]) -> list[str]:
    """A command's words in which `--resume=FILE` and `--resume FILE` have become --resume_file=FILE.

    An option whose value may be left out would swallow the word behind it; a file is told by its ending.
    """
    found = []
    for word in words:
        if found and found[-1] == "--resume" and (word in _WORDS or Path(word).suffix in (".pth", ".safetensors")):
            found[-1] = f"--resume_file={word}"
        else:
            found.append(re.sub("^--resume=", "--resume_file=", word))
    return found


def _saved_run(word: Path, output: Path, model: str) -> Path | None:
    """Finds the file that `--resume=latest` and `--resume=interrupt` go on from; another word is a file's own name.

    It is None for a run of ours in `output`, else the original's file there.
    """
    if str(word) not in _WORDS or word.is_file():
        return word
    if checkpoints.existing(output / checkpoints.FOLDER):
        return None
    found = _files(output, str(word), load_settings(model).model)
    if not found:
        raise UserError(f"--resume={word}: {output} holds neither a run's checkpoint nor a {model}_EPOCH_ITERATION.pth")
    return found[-1]


def _saved_weights(word: Path, model: str | None) -> Path:
    """The weights that `--trained_model=latest` and `interrupt` mean, those of the model where one is named.

    Of ours a run's last checkpoint stands for both, since a stopped run leaves one.
    """
    if str(word) not in _WORDS:
        return word
    name = load_settings(model).model if model else None
    found = _files(_FOLDER, str(word), name) + _checkpoints(_FOLDER, name)
    if not found:
        model_words = f" of {name}" if name else ""
        raise UserError(f"{word}: no weights{model_words} are saved in {_FOLDER.resolve()}; name their file")
    return max(found, key=_iteration)


def _files(folder: Path, word: str, name: str | None) -> list[Path]:
    """The original's files, by their iterations; `interrupt` means those of stopped runs alone."""
    found = []
    for path in sorted(folder.glob("*.pth")):
        match = _FILE.fullmatch(path.stem)
        if match and name in (None, match["name"]) and (word == "latest" or match["stopped"]):
            found.append(path)
    return sorted(found, key=_iteration)


def _checkpoints(folder: Path, name: str | None) -> list[Path]:
    """The weights of a run of ours in the folder, checkpoint by checkpoint, where they are of the model `name`."""
    found = [path / checkpoints.WEIGHTS for path in checkpoints.existing(folder / checkpoints.FOLDER)]
    return [path for path in found if name is None or load_card(path).model == name]


def _named_iteration(path: Path) -> int | None:
    """The iteration in the name of one of the original's files."""
    match = _FILE.fullmatch(path.stem)
    return int(match["iteration"]) if match else None


def _iteration(path: Path) -> int:
    """The iteration of one of the original's files or of the weights in a checkpoint of ours."""
    named = _named_iteration(path)
    return int(path.parent.name.rpartition("_")[2]) if named is None else named


ORIGINAL = Original(
    "YOLACT",
    {"train": _TRAIN, "evaluate": _EVALUATE, "predict": _PREDICT},
    settled=_settled_nms,
    results_files={"box": Path("results/bbox_detections.json"), "mask": Path("results/mask_detections.json")},
    saved_runs=SavedRuns(_resumed_words, _saved_run, _saved_weights, _named_iteration),
)
