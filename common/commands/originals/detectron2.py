"""The options of detectron2's tools/train_net.py and demo/demo.py, which Mask2Former's are the same as."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.commands.options import Also, Argument, Instead, Silent
from common.commands.originals import Original
from common.errors import UserError

_RANKS = "one process a device is started by torchrun: torchrun --nproc_per_node=N -m {module} ..."


def _input(paths: Sequence[str]) -> dict[str, Any]:
    if len(paths) > 1:
        raise UserError(f"--input {' '.join(paths)}: give the folder of the images in place of several")
    if "*" in paths[0] and not Path(paths[0]).exists():
        raise UserError(f"--input {paths[0]}: give the folder of the images in place of a pattern")
    return {"image": paths[0]}


_LAUNCH = (
    Instead(("--num-gpus",), _RANKS, harmless=("1",)),
    Instead(("--num-machines",), _RANKS, harmless=("1",)),
    Instead(("--machine-rank",), _RANKS, harmless=("0",)),
    Instead(("--dist-url",), _RANKS, harmless=("env://", "auto")),
)

_TRAIN = (
    Instead(("--eval-only",), "a trained model is rated by {evaluate} MODEL --weights FILE --data ROOT"),
    *_LAUNCH,
)

_EVALUATE = (
    Silent(("--eval-only",), "nothing else is done here"),
    *_LAUNCH,
)

_PREDICT = (
    Argument(("--webcam",), "the first camera, as INPUT 0", lambda _: {"video": "0"}, type=None),
    Also(("--video-input",), "--video"),
    Argument(("--input",), "an image or a folder, as INPUT", _input, many=True),
    Also(("--confidence-threshold",), "--score-threshold"),
    Silent(("--opts",), "KEY VALUE pairs may stand anywhere"),
)

ORIGINAL = Original("detectron2 and Mask2Former", {"train": _TRAIN, "evaluate": _EVALUATE, "predict": _PREDICT})
