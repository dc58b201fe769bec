"""The models' speed in each framework, as ratios to PyTorch's: detection, training step, assembly of the masks.

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
import importlib
import json
from pathlib import Path

from benchmarks.frameworks import FRAMEWORKS, chosen_frameworks
from benchmarks.speed.mask_rcnn import make_sizes_work, sizes_table
from benchmarks.speed.measuring import Work, measure, table
from common.commands.arguments import at_least
from common.config import Settings
from common.errors import UserError, run_command
from common.files import atomic_path
from common.models import load_settings

MODELS = ("yolact_resnet50", "yolact_plus_resnet50", "mask_rcnn_r50_fpn", "pose2seg")

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
    add("words", nargs="*", metavar="MODEL", help=f"and key.path=value; default: {' '.join(MODELS)}")
    add("--frameworks", type=chosen_frameworks, default=FRAMEWORKS, metavar="A,B", help="default: all three")
    add("--repetitions", type=at_least(1), default=7, help="default: %(default)s")
    add("--warmup", type=at_least(0), default=2, help="repetitions before (default: %(default)s)")
    add("--sizes", type=at_least(2), metavar="N", help="measure images of so many sizes beside images of one")
    add("--seed", type=int, default=0)
    add("--output", type=Path, help="folder for the figures, as speed.json")
    arguments = parser.parse_args()
    overrides = [word for word in arguments.words if "=" in word]
    names = [word for word in arguments.words if word not in overrides] or MODELS
    models = {name: load_settings(name, overrides) for name in names}
    works = {name: _work(settings, arguments) for name, settings in models.items()}
    repetitions, tell = (arguments.sizes, sizes_table) if arguments.sizes else (arguments.repetitions, table)
    found = {}
    for name, work in works.items():
        found[name] = measure(work, arguments.frameworks, repetitions, arguments.warmup)
        print(f"{name}, {work.title}\n{tell(found[name])}\n", flush=True)
    if arguments.output:
        with atomic_path(arguments.output / "speed.json") as path:
            path.write_text(json.dumps(found, indent=1))


def _work(settings: Settings, arguments: argparse.Namespace) -> Work:
    if not arguments.sizes:
        return importlib.import_module(f"benchmarks.speed.{settings.family}").make_work(settings, arguments.seed)
    if settings.family != "mask_rcnn":
        raise UserError(f"--sizes: {settings.model} takes images of one size")
    # What the workers do once when they start, and the rounds that warm up, take sizes of their own.
    return make_sizes_work(settings, arguments.seed, 1 + arguments.warmup + arguments.sizes)


if __name__ == "__main__":
    run_command(main)
