"""The parts of a run, in the order in which they matter, and what each is given."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.models import default_models, listed_families


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
    """The arguments of a part's module; `small` asks for tiny models and few repetitions, to try the script itself."""

    subject: str
    device: str
    small: bool
    folder: Path  # to write in; it is removed afterwards


# The seed of made-up weights, images and batches.
SEED = 0

MACHINE = Part("machine", "machine", "The machine", 60, 5, alone=True)
PARTS = (
    MACHINE,
    Part("goldens", "goldens", "Golden cases", 240),
    *(Part(f"training_{name}", "training", f"Training {name}", 180, subject=name) for name in listed_families()),
    Part("operators", "operators", "The contract's operators", 120),
    Part("resuming", "resuming", "Killed and resumed", 120, 30),
    *(
        Part(f"speed_{name}", "speed", f"Speed of {name}", 75, 15, subject=name, alone=True, tf32=True)
        for name in default_models()
    ),
    Part("torchvision", "beside_torchvision", "Beside torchvision's Mask R-CNN", 60, 15, alone=True, tf32=True),
    Part("profile", "profiling", "What one inference does", 60, 15, alone=True, tf32=True),
    Part("layouts", "layouts", "Memory formats of the networks", 60, 15, alone=True, tf32=True),
    Part("jittor", "on_jittor", "Jittor", 240, 30, alone=True, tf32=True),
)
