"""The parts of a run, in the order in which they matter, and what each is given."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Part:
    """A process of its own: `run(job, report)` of a module of this package.

    least, most: seconds; with less left the part is not begun, and it is ended after the most.
    alone: nothing runs beside it, since it measures time.
    tf32: whether it decides itself if matrix products are rounded to TF32; else they are not.
    """

    name: str
    module: str
    title: str
    most: float
    least: float = 10.0
    subject: str = ""
    alone: bool = False
    tf32: bool = False


@dataclass(frozen=True)
class Job:
    """What a part's module is given. `small` asks for the tiny models and few repetitions, to try the script itself."""

    subject: str
    device: str
    small: bool
    folder: Path  # to write in; it is removed afterwards


# Of made-up weights, images and batches.
SEED = 0
FAMILIES = ("yolact", "mask_rcnn", "pose2seg")
# Trained on one batch, beside the tiny variant of the family.
TRAINED = {"yolact": "yolact_plus_resnet50", "mask_rcnn": "mask_rcnn_r50_fpn", "pose2seg": "pose2seg"}
MEASURED = ("yolact_resnet50", "mask_rcnn_r50_fpn", "yolact_plus_resnet50", "pose2seg")

MACHINE = Part("machine", "machine", "The machine", 60, 5, alone=True)
PARTS = (
    MACHINE,
    Part("goldens", "goldens", "Golden cases", 240),
    *(Part(f"training_{name}", "training", f"Training {name}", 180, subject=name) for name in FAMILIES),
    Part("operators", "operators", "The contract's operators", 120),
    Part("resuming", "resuming", "Killed and resumed", 120, 30),
    *(
        Part(f"speed_{name}", "speed", f"Speed of {name}", 75, 15, subject=name, alone=True, tf32=True)
        for name in MEASURED
    ),
    Part("torchvision", "beside_torchvision", "Beside torchvision's Mask R-CNN", 60, 15, alone=True, tf32=True),
    Part("profile", "profiling", "What one inference does", 60, 15, alone=True, tf32=True),
    Part("layouts", "layouts", "Memory formats of the networks", 45, 15, alone=True, tf32=True),
    Part("jittor", "on_jittor", "Jittor", 240, 30, alone=True, tf32=True),
)


def tiny(model: str) -> str:
    """The small variant of a model's family."""
    return next(f"{family}_tiny" for family in FAMILIES if model.startswith(family))
