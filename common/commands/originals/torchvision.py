"""The options of torchvision's references/detection/train.py, all of its versions."""

import argparse

from common.commands.arguments import at_least
from common.commands.options import Also, Instead, Setting, Silent
from common.commands.originals import Original

_SCHEDULERS = {"multisteplr": "steps", "cosineannealinglr": "cosine"}
_STAGES = 5  # of a backbone: the stem and four


def _scheduler(text: str) -> str:
    if text.lower() not in _SCHEDULERS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(_SCHEDULERS)}")
    return _SCHEDULERS[text.lower()]


def _frozen_stages(text: str) -> int:
    trainable = int(text)
    if not 1 <= trainable <= _STAGES:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to {_STAGES}")
    return _STAGES - trainable


_IN_STEPS = (
    "training is counted in steps of a batch: --iterations N and schedule.steps=[A,B]"
    " (an epoch is as many steps as there are images / batch size)"
)
_RANKS = "one process a device is started by torchrun: torchrun --nproc_per_node=N -m {module} ..."
_DATA = (Also(("--data-path",), "--data"), Also(("--model",), "--config"), Also(("-b",), "--batch-size"))

_TRAIN = (
    *_DATA,
    Also(("-j",), "--workers"),
    Also(("--output-dir",), "--output"),
    Setting(("--wd", "--weight-decay"), "schedule.weight_decay", float),
    Setting(("--lr-gamma",), "schedule.gamma", float),
    Setting(("--lr-scheduler",), "schedule.decay", _scheduler),
    Setting(("--print-freq",), "schedule.log_every", at_least(1)),
    Setting(("--opt",), "schedule.optimizer", str.lower),
    Setting(("--rpn-score-thresh",), "rpn.score_threshold", float),
    Setting(("--trainable-backbone-layers",), "network.frozen_stages", _frozen_stages),
    Instead(("--epochs",), _IN_STEPS),
    Instead(("--lr-step-size",), _IN_STEPS),
    Instead(("--lr-steps",), _IN_STEPS),
    Instead(("--start_epoch",), "a run goes on by --resume, from its own checkpoint"),
    Instead(("--aspect-ratio-group-factor",), "a batch is always of lying or of standing images", harmless=("3",)),
    Instead(
        ("--data-augmentation",),
        "images are mirrored, and augmentation.* says what else: augmentation.flip=0.5, augmentation.brightness=0.1",
        harmless=("hflip",),
    ),
    Instead(("--use-copypaste",), "objects are not pasted into other images"),
    Instead(("--test-only",), "a trained model is rated by {evaluate} MODEL --weights FILE --data ROOT"),
    Instead(("--pretrained",), "weights are named by their file: --weights FILE"),
    Instead(("--weights-backbone",), "weights are named by their file: --weights resnet50-19c8e357.pth"),
    Instead(("--sync-bn",), "batch norm stands still in the R-CNN models: there is nothing to share"),
    Instead(("--norm-weight-decay",), "batch norm stands still in the R-CNN models: nothing of it decays"),
    Instead(("--amp",), "training computes in float32"),
    Silent(("--use-deterministic-algorithms",), "a seed always gives the same order, augmentation and samples"),
    Instead(("--world-size",), _RANKS, harmless=("1",)),
    Instead(("--prototype",), "torchvision's prototypes are not among the models"),
    Instead(("--backend",), "images are read in one way alone", harmless=("pil",)),
    Instead(("--use-v2",), "images are transformed in one way alone"),
)

_EVALUATE = (
    *_DATA,
    Also(("-j",), "--workers"),
    Also(("--output-dir",), "--output"),
    Silent(("--test-only",), "nothing else is done here"),
)

ORIGINAL = Original("torchvision", {"train": _TRAIN, "evaluate": _EVALUATE})
