"""The options of the tools of mmdetection 2.x and 3.x, and of Swin-Transformer-Object-Detection, which is 2.11.

They name the configuration and the checkpoint by their places. What `--cfg-options` changes is a part of the
configuration, of which the keys that are typed most often are known.
"""

import argparse
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.commands.arguments import truth
from common.commands.options import Also, Argument, Instead, Silent
from common.commands.originals import Original
from common.errors import UserError

_CHECKPOINTS = (".pth", ".bin", ".safetensors")
_LIMITS = (100, 300, 1000)  # of detections, by which its tools rate

_RANKS = "one process a device is started by torchrun: torchrun --nproc_per_node=N -m {module} ..."
_IN_STEPS = "training is counted in steps of a batch: --iterations N and schedule.steps=[A,B]"

# The settings that keys of the configuration are; a value is taken over as it stands.
_SETTINGS = {
    "optimizer.lr": "schedule.learning_rate",
    "optimizer.weight_decay": "schedule.weight_decay",
    "optimizer.momentum": "schedule.momentum",
    "lr_config.warmup_iters": "schedule.warmup_iterations",
    "lr_config.warmup_ratio": "schedule.warmup_start",
    "log_config.interval": "schedule.log_every",
    "evaluation.interval": "schedule.evaluate_epochs",
    "model.backbone.drop_path_rate": "network.drop_path",
    "model.backbone.embed_dim": "network.backbone.width",
    "model.backbone.depths": "network.backbone.depths",
    "model.backbone.num_heads": "network.backbone.heads",
    "model.backbone.window_size": "network.backbone.window",
    "model.train_cfg.rpn.sampler.num": "losses.anchors_per_image",
    "model.train_cfg.rpn_proposal.nms_pre": "rpn.training.before_nms",
    "model.train_cfg.rpn_proposal.max_per_img": "rpn.training.total",
    "model.train_cfg.rcnn.sampler.num": "losses.regions_per_image",  # a cascade has a list of them
    "model.test_cfg.rpn.nms_pre": "rpn.inference.before_nms",
    "model.test_cfg.rpn.max_per_img": "rpn.inference.total",
    "model.test_cfg.rpn.nms.iou_threshold": "rpn.nms_threshold",
    "model.test_cfg.rcnn.score_thr": "detection.score_threshold",
    "model.test_cfg.rcnn.max_per_img": "detection.max_detections",
    "model.test_cfg.rcnn.nms.iou_threshold": "detection.iou_threshold",
    "model.panoptic_head.num_queries": "network.queries",
    "model.train_cfg.num_points": "losses.points",
    "model.test_cfg.max_per_image": "detection.max_detections",
    "model.test_cfg.iou_thr": "detection.overlap_threshold",
    "model.test_cfg.object_mask_thr": "detection.object_threshold",
    "optimizer_config.grad_clip.max_norm": "schedule.clip_norm",
    "clip_grad.max_norm": "schedule.clip_norm",
    "runner.max_iters": "schedule.iterations",
    "train_cfg.max_iters": "schedule.iterations",
}
_RATED = {"bbox": "box", "segm": "mask", "PQ": "panoptic"}  # what `--eval` asks for, as our results are called
_WEIGHTS = ("model.pretrained", "model.backbone.init_cfg.checkpoint", "load_from")
_LINES = {
    "data.samples_per_gpu": "a batch is counted over all processes: --batch-size N",
    "train_dataloader.batch_size": "a batch is counted over all processes: --batch-size N",
    "data.workers_per_gpu": "--workers N",
    "train_dataloader.num_workers": "--workers N",
    "lr_config.step": _IN_STEPS,
    "runner.max_epochs": _IN_STEPS,
    "total_epochs": _IN_STEPS,
    "train_cfg.max_epochs": _IN_STEPS,
    "checkpoint_config.interval": "checkpoints are counted in steps: schedule.checkpoint_every=N",
    "work_dir": "--work-dir DIR",
    "resume_from": "a run goes on by --resume, from its own checkpoint",
    "seed": "--seed N",
    "fp16": "training computes in float32",
}
# Nothing depends on it: activations are recomputed there to save memory.
_WITHOUT_EFFECT = ("model.backbone.use_checkpoint", "model.backbone.with_cp")


def _words(command: str, words: Sequence[str]) -> list[str]:
    """A command's words with an option before the checkpoint that its tools are given by its place.

    That is the second word, behind the configuration, and in image_demo.py, where the image comes first, the third.
    """
    for place in (1, 2) if command == "predict" else (1,) if command == "evaluate" else ():
        front = words[: place + 1]
        if len(front) > place and not any(word.startswith("-") for word in front) and front[-1].endswith(_CHECKPOINTS):
            return [*reversed(front[:-1]), "--weights", front[-1], *words[place + 1 :]]
    return list(words)


def _assumed(words: Sequence[str]) -> tuple[tuple[str, Any], ...]:
    """The limits of detections by which a command that says what to rate does it."""
    return (("max_dets", _LIMITS),) if any(word.partition("=")[0] == "--eval" for word in words) else ()


def _config(pairs: Sequence[str]) -> dict[str, Any]:
    """The arguments that KEY=VALUE pairs of the configuration change."""
    changes: dict[str, Any] = {"overrides": []}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        key = key.removeprefix("optim_wrapper.")  # of 3.x
        if not equals:
            raise UserError(f"--cfg-options: {pair!r} is not KEY=VALUE")
        if key in _WEIGHTS:
            changes["weights"] = Path(value)
        elif key == "optimizer.type":
            changes["overrides"].append(f"schedule.optimizer={value.lower()}")
        elif key in _SETTINGS:
            # A list may stand without brackets there, and a tuple's are round.
            value = f"[{value.strip('()[]')}]" if "," in value else value
            changes["overrides"].append(f"{_SETTINGS[key]}={value}")
        elif key not in _WITHOUT_EFFECT:
            raise UserError(f"--cfg-options: {key}: {_answer(key)}")
    return changes


def _answer(key: str) -> str:
    """The line for a key of the configuration that cannot be changed so."""
    if key in _LINES:
        return _LINES[key]
    near = difflib.get_close_matches(key, [*_SETTINGS, *_WEIGHTS, "optimizer.type"], 1)
    nearest = f"; known there is {near[0]}" if near else ""
    return f"settings are changed by words such as schedule.learning_rate=1e-4, in the names of --help{nearest}"


def _metrics(names: Sequence[str]) -> Mapping[str, Any]:
    """What has to be among a model's results; all that is, is rated whatever is asked for."""
    for name in names:
        if name not in _RATED:
            raise UserError(f"--eval: {name} is not rated; boxes, masks and segments are (bbox segm PQ)")
    return {"rated": {_RATED[name]: name for name in names}}


def _evaluation(pairs: Sequence[str]) -> dict[str, Any]:
    """The arguments that KEY=VALUE pairs for the rating change."""
    changes: dict[str, Any] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        if key == "jsonfile_prefix":
            endings = {"bbox_det_file": "bbox", "mask_det_file": "segm", "panoptic_det_file": "panoptic"}
            changes |= {name: Path(f"{value}.{ending}.json") for name, ending in endings.items()}
        elif key == "proposal_nums":
            raise UserError(f"--eval-options: {key}: --max-dets {value.strip('()[]')}")
        elif key != "classwise" or _is_true(value):
            raise UserError(f"--eval-options: {key}: the figures are those of all classes together, by COCO's rules")
    return changes


def _is_true(text: str) -> bool:
    try:
        return truth(text)
    except argparse.ArgumentTypeError:
        return True


def _cards(numbers: Sequence[str]) -> Mapping[str, Any]:
    if list(numbers) != ["0"]:
        raise UserError("--gpu-ids: cards are chosen by CUDA_VISIBLE_DEVICES=0,1 before the command")
    return {}


_COMMON = (
    Argument(("--cfg-options",), "KEY=VALUE of the configuration, as many as there are", _config, many=True),
    Instead(("--launcher",), _RANKS, harmless=("none", "pytorch")),
)

_TRAIN = (
    *_COMMON,
    Argument(("--options",), "the same", _config, many=True),
    Also(("--work-dir",), "--output"),
    Also(("--no-validate",), "--skip-test"),
    Also(("--auto-resume",), "--resume"),
    Instead(
        ("--resume-from",),
        "a run goes on by --resume, from its own checkpoint in --work-dir; --weights FILE starts from weights alone",
    ),
    Instead(("--gpus",), _RANKS, harmless=("1",)),
    Argument(("--gpu-ids", "--gpu-id"), "0", _cards, many=True),
    Instead(("--auto-scale-lr",), "schedule.autoscale=true fits the rate, and the number of steps, to --batch-size"),
    Silent(("--deterministic", "--diff-seed"), "a seed always gives the same order, augmentation and samples"),
)

_EVALUATE = (
    *_COMMON,
    Argument(("--eval",), "bbox segm PQ, by the limits 100, 300 and 1000 of --max-dets", _metrics, many=True),
    Argument(("--eval-options", "--options"), "KEY=VALUE of the rating: jsonfile_prefix", _evaluation, many=True),
    Also(("--format-only",), "--results-only"),
    Also(("--work-dir",), "--output"),
    Instead(("--out",), "results are written as COCO's JSON: --output DIR"),
    Instead(("--show", "--show-dir"), "{predict} draws what is found into images: FOLDER --output DIR"),
    Instead(("--show-score-thr",), "{predict} draws what is found into images, with --score-threshold S"),
    Instead(("--tta",), "an image is looked at once; there is no test-time augmentation"),
    Argument(("--gpu-ids", "--gpu-id"), "0", _cards, many=True),
    Silent(("--fuse-conv-bn", "--gpu-collect"), "results do not depend on it"),
    Silent(("--tmpdir",), "nothing is gathered in a folder", takes_value=True),
)

_PREDICT = (
    Also(("--score-thr",), "--score-threshold"),
    Also(("--out-file", "--out"), "--output"),
    Argument(("--camera-id",), "a camera, as INPUT", lambda number: {"video": number}),
    Instead(("--show",), "what is found is drawn into --output PATH"),
    Silent(("--wait-time", "--palette"), "nothing is shown", takes_value=True),
)

ORIGINAL = Original(
    "mmdetection", {"train": _TRAIN, "evaluate": _EVALUATE, "predict": _PREDICT}, assumed=_assumed, words=_words
)
