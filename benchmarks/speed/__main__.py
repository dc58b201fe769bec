"""The models' speed in each framework: inference and its parts, training step, loader, rating; as ratios to PyTorch's.

Each framework has a process of its own, which stays, and they are measured in turn, one repetition each while the
others wait: what slows the machine down slows them all. A ratio is the median over the rounds of the time to that of
the first framework in the same round. Where others use the machine too, the ratios of the processors' time (`cpu`)
are the steadier ones, and milliseconds, the first framework's median, say little. Weights, image and batch are made
up, and the same for all; the scores are set so that about a hundred objects are detected.

With --growth: the forward pass on images of several sides and in several batches, and the inference with several
numbers of instances; the exponents by which the times grow; and how many operations the forward pass does in a second
beside a large matrix product.

With --sizes, for models that take images of any size: inference and training on so many images of different sizes,
each once, as a ratio to the same framework's time on as many of one size in between. Sizes that only warm up come
before them: Jittor compiles what it has not met. `slowest` is the longest of these steps to their median.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.frameworks import FRAMEWORKS, chosen_frameworks
from benchmarks.models import default_models
from benchmarks.speed.growth import GrowthWork, make_growth_table, print_growth
from benchmarks.speed.measuring import Figures, Work, measure
from benchmarks.speed.plots import plot_growth
from benchmarks.speed.sizes import make_sizes_table, make_sizes_work, write_sizes
from benchmarks.speed.table import make_speed_table, make_table
from benchmarks.speed.work import ModelWork, add_post_processing, write_data
from common.commands.arguments import at_least
from common.config import Settings
from common.errors import run_command
from common.models import load_settings
from common.packages import import_package

EXAMPLES = """
examples:
  python -m benchmarks.speed
  python -m benchmarks.speed yolact_base --output speed
  python -m benchmarks.speed yolact_base --growth --output speed
  python -m benchmarks.speed mask_rcnn_r50_fpn --sizes 30
"""

Models = dict[str, Settings]
Found = dict[str, dict[str, Figures]]  # by model and framework


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
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--growth", action="store_true", help="measure how the cost grows")
    modes.add_argument("--sizes", type=at_least(2), metavar="N", help="measure so many sizes of images beside one")
    add("--seed", type=int, default=0)
    add("--output", type=Path, help="folder for the figures: speed.json; growth.json and plots; sizes.json")
    arguments = parser.parse_args()
    overrides = [word for word in arguments.words if "=" in word]
    names = [word for word in arguments.words if word not in overrides] or default_models()
    models = {name: load_settings(name, overrides) for name in names}
    if arguments.growth:
        _measure_growth(models, arguments)
    elif arguments.sizes:
        _measure_sizes(models, arguments)
    else:
        _measure_speed(models, arguments)


def _measure_speed(models: Models, arguments: argparse.Namespace) -> None:
    """Measures the parts of the models' work, prints them, and writes the table `speed`."""
    found, sizes = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, settings) in enumerate(models.items()):
            data = write_data(Path(folder) / str(number), settings, arguments.seed)
            work = ModelWork(settings, arguments.seed, data)
            sizes[name] = work.title
            found[name] = measure(work, arguments.frameworks, arguments.repetitions, arguments.warmup)
            add_post_processing(found[name], settings)
            _show(name, work, make_table(found[name]))
    if arguments.output:
        make_speed_table(found, sizes, arguments.warmup).write(arguments.output)


def _measure_growth(models: Models, arguments: argparse.Namespace) -> None:
    """Measures how the models' costs grow, prints it, and writes the table `growth` and a plot for each series."""
    if arguments.output:
        import_package("matplotlib", "matplotlib", "the plots of --growth")

    def describe(found: Found) -> str:
        return print_growth(make_growth_table(found).rows)

    works = {name: GrowthWork(settings, arguments.seed) for name, settings in models.items()}
    found = _measure_all(works, arguments, arguments.repetitions, describe)
    if arguments.output:
        table = make_growth_table(found)
        table.write(arguments.output)
        plot_growth(table.rows, arguments.output)


def _measure_sizes(models: Models, arguments: argparse.Namespace) -> None:
    """Measures images of many sizes beside those of one, prints the ratios, and writes the table `sizes`."""
    # What the workers do once when they start, and the rounds that warm up, take sizes of their own.
    count = 1 + arguments.warmup + arguments.sizes
    works = {name: make_sizes_work(settings, arguments.seed, count) for name, settings in models.items()}
    found = _measure_all(works, arguments, arguments.sizes, lambda found: make_sizes_table(*found.values()))
    if arguments.output:
        write_sizes(found, arguments.output)


def _measure_all(
    works: dict[str, Any], arguments: argparse.Namespace, repetitions: int, describe: Callable[[Found], str]
) -> Found:
    """Measures the work of each model, and prints what `describe` says of its figures."""
    found = {}
    for name, work in works.items():
        found[name] = measure(work, arguments.frameworks, repetitions, arguments.warmup)
        _show(name, work, describe({name: found[name]}))
    return found


def _show(name: str, work: Work, text: str) -> None:
    print(f"{name}, {work.title}\n{text}\n", flush=True)


if __name__ == "__main__":
    run_command(main)
