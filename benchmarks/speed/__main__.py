"""The models' speed in each framework, as ratios to PyTorch's: inference, training step, making of the masks.

Each framework has a process of its own, which stays, and they are measured in turn, one repetition each while the
others wait: what slows the machine down slows them all. A ratio is the median over the rounds of the time to that of
the first framework in the same round. Where others use the machine too, the ratios of the processors' time (`cpu`)
are the steadier ones, and milliseconds, the first framework's median, say little. Weights, image and batch are made
up, and the same for all; the scores are set so that about a hundred objects are detected.

With --sizes, for models that take images of any size: inference and training on so many images of different sizes,
each once, as a ratio to the same framework's time on as many of one size in between. Sizes that only warm up come
before them: Jittor compiles what it has not met. `slowest` is the longest of these steps to their median.
"""

import argparse
import json
from pathlib import Path

from benchmarks.frameworks import FRAMEWORKS, chosen_frameworks
from benchmarks.models import default_models
from benchmarks.speed.measuring import Work, make_table, measure
from benchmarks.speed.sizes import make_sizes_table, make_sizes_work
from benchmarks.speed.work import ModelWork
from common.commands.arguments import at_least
from common.config import Settings
from common.errors import run_command
from common.files import atomic_path
from common.models import load_settings

EXAMPLES = """
examples:
  python -m benchmarks.speed
  python -m benchmarks.speed yolact_base --output speed
  python -m benchmarks.speed mask_rcnn_r50_fpn --sizes 30
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EXAMPLES.strip(),
    )
    add = parser.add_argument
    add("words", nargs="*", metavar="MODEL", help=f"and key.path=value; default: {' '.join(default_models())}")
    add("--frameworks", type=chosen_frameworks, default=FRAMEWORKS, metavar="A,B", help="default: all three")
    add("--repetitions", type=at_least(1), default=7, help="default: %(default)s")
    add("--warmup", type=at_least(0), default=2, help="repetitions before (default: %(default)s)")
    add("--sizes", type=at_least(2), metavar="N", help="measure images of so many sizes beside images of one")
    add("--seed", type=int, default=0)
    add("--output", type=Path, help="folder for the figures, as speed.json")
    arguments = parser.parse_args()
    overrides = [word for word in arguments.words if "=" in word]
    names = [word for word in arguments.words if word not in overrides] or default_models()
    models = {name: load_settings(name, overrides) for name in names}
    works = {name: _make_work(settings, arguments) for name, settings in models.items()}
    sized = arguments.sizes is not None
    repetitions = arguments.sizes if sized else arguments.repetitions
    describe = make_sizes_table if sized else make_table
    found = {}
    for name, work in works.items():
        found[name] = measure(work, arguments.frameworks, repetitions, arguments.warmup)
        print(f"{name}, {work.title}\n{describe(found[name])}\n", flush=True)
    if arguments.output:
        with atomic_path(arguments.output / "speed.json") as path:
            path.write_text(json.dumps(found, indent=1))


def _make_work(settings: Settings, arguments: argparse.Namespace) -> Work:
    """The work that the options ask for, of one model."""
    if arguments.sizes is None:
        return ModelWork(settings, arguments.seed)
    # What the workers do once when they start, and the rounds that warm up, take sizes of their own.
    return make_sizes_work(settings, arguments.seed, 1 + arguments.warmup + arguments.sizes)


if __name__ == "__main__":
    run_command(main)
