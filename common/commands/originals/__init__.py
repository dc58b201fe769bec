"""Options of the originals' own commands, for those who type them from habit.

Each works, is accepted where no result depends on it, or is answered by one line that says what to use instead. An
original's module lists its options as `OPTIONS`, by the command of ours that stands for its own.
"""

from common.commands.originals import detectron2, maskrcnn_benchmark, pose2seg, torchvision, yolact
from common.commands.originals.options import Option, add_options, apply_options
from common.commands.originals.pose2seg import assumed
from common.commands.originals.saved import resumed_words, saved_run, saved_weights

__all__ = [
    "Option",
    "add_options",
    "apply_options",
    "assumed",
    "resumed_words",
    "saved_run",
    "saved_weights",
    "tables_of",
]

_ORIGINALS = {
    "YOLACT": yolact,
    "maskrcnn-benchmark": maskrcnn_benchmark,
    "detectron2": detectron2,
    "torchvision": torchvision,
    "Pose2Seg": pose2seg,
}


def tables_of(command: str) -> dict[str, tuple[Option, ...]]:
    """The options of each original that has a command like this one; of those that share a name the first counts."""
    tables = {name: module.OPTIONS.get(command, ()) for name, module in _ORIGINALS.items()}
    return {name: options for name, options in tables.items() if options}
