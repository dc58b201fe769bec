"""The options of YOLACT's train.py, and of its eval.py, for which evaluate and predict stand here."""

from typing import Any

from common.commands.arguments import at_least, truth
from common.commands.originals.options import Also, Argument, Instead, Setting, Silent, Switch

_FALSE = ("no", "false", "f", "n", "0")

_CUDA = Argument(("--cuda",), "false: --device cpu", lambda wanted: {} if wanted else {"device": "cpu"}, type=truth)
_DATASET = Instead(
    ("--dataset",),
    "data are named by their folder: --data ROOT (YOLACT's ./data/coco with annotations/instances_val2017.json and"
    " val2017 is --data data/coco)",
    harmless=("coco",),
)


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

OPTIONS = {"train": _TRAIN, "evaluate": _EVALUATE, "predict": _PREDICT}
