"""The main job in one command: train once, carry the weights to every framework, and see the same numbers.

Makes the synthetic set, trains yolact_tiny or another model in PyTorch, writes the weights in Jittor's and MindSpore's
own formats and evaluates all three. Then it holds the trained network's layers, losses, gradients and steps against
PyTorch's, takes the first steps of a training in each framework, measures their speed, and writes a report with all of
it. Exit code 1 when the APs, or a panoptic model's PQs, differ by more than 0.1.
"""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

from benchmarks.frameworks import FRAMEWORKS
from benchmarks.running import run_module
from common.config import Settings
from common.data.shapes import forms_of
from common.errors import run_command
from common.families import family_of
from common.files import atomic_path
from common.models import load_settings

MODEL = "yolact_tiny"
# How each framework's own weights file is called.
FORMATS = {"torch": "torch.pth", "jittor": "jittor.pkl", "mindspore": "mindspore.ckpt"}
TOLERANCE = 0.1  # points of the main figure
FIRST_STEPS = 40  # that every framework takes by itself, for the losses over each other
PARITY_STEPS = 3  # of the optimizer, in which its memory and the weights are compared


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n  python -m benchmarks.demo --output demo_output\n"
        "  python -m benchmarks.demo --model mask2former_tiny --output panoptic_demo",
    )
    parser.add_argument("--model", default=MODEL, help="one that needs nothing but images (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("demo_output"), help="folder for everything it makes")
    parser.add_argument("--images", type=int, default=1000, help="images of the synthetic set")
    parser.add_argument("--iterations", type=int, help="training steps (default: the model's own schedule)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    began = time.monotonic()
    model, output, seed = arguments.model, arguments.output, arguments.seed
    data = _make_data(load_settings(model), output, arguments.images, seed)
    trained = output / f"training-{int(time.time())}"
    steps = [] if arguments.iterations is None else ["--iterations", arguments.iterations]
    _run("torch_impl.train", model, "--data", data, "--output", trained, "--seed", seed, *steps)
    weights = trained / "weights.safetensors"
    figures = _rate_everywhere(model, weights, data, output)
    _compare(model, weights, data, output)
    _take_first_steps(model, data, trained, output, seed)
    _run("benchmarks.speed", model, "--repetitions", 3, "--warmup", 1, "--output", output)
    report = output / "report.html"
    _run("benchmarks.report", output, "--output", report)
    _conclude(model, figures, report, time.monotonic() - began)


def _make_data(settings: Settings, output: Path, images: int, seed: int) -> Path:
    """The folder of a synthetic set with the kind of annotations that a model needs."""
    forms = [f"--{form}" for form, is_so in forms_of(settings.data_kind).items() if is_so]
    _run("common.data.shapes", output / "shapes", "--images", images, "--seed", seed, *forms)
    return output / "shapes"


def _rate_everywhere(model: str, weights: Path, data: Path, output: Path) -> dict[str, dict[str, float]]:
    """Evaluates the weights in each framework, in its own format -> the main figures of each."""
    settings = load_settings(model)
    kind = family_of(settings).results(settings)
    figures = {}
    for framework, name in FORMATS.items():
        own = output / "weights" / name
        _run("weights_convert", weights, own, "--model", model, "--to", framework)
        results = output / framework
        _run(f"{framework}_impl.evaluate", model, "--data", data, "--weights", own, "--output", results)
        figures[framework] = kind.main_figures(json.loads((results / "metrics.json").read_text()))
    return figures


def _compare(model: str, weights: Path, data: Path, output: Path) -> None:
    """Compares the three implementations on the trained weights; the report tells what is found."""
    material = ("--weights", weights, "--data", data, "--steps", PARITY_STEPS)
    _run("benchmarks.parity", model, *material, "--output", output / "parity", accepted=(0, 1))


def _take_first_steps(model: str, data: Path, trained: Path, output: Path, seed: int) -> None:
    """Takes the first steps of a training in each framework from the same seed; their logs are for the report."""
    options = ("--iterations", FIRST_STEPS, "--seed", seed, "--skip-test", "--no-image-check", "schedule.log_every=1")
    for framework in FRAMEWORKS:
        run = trained / "first_steps" / framework
        _run(f"{framework}_impl.train", model, "--data", data, "--output", run, *options)
        with atomic_path(output / "accuracy" / model / framework / "log.jsonl") as path:
            shutil.copyfile(run / "log.jsonl", path)


def _run(module: str, *arguments: object, accepted: tuple[int, ...] = (0,)) -> None:
    """One of the project's commands in a process of its own, and what it took.

    accepted: the exit codes after which the demo goes on.
    """
    cost = run_module(module, *arguments, accepted=accepted)
    print(f"({60 * cost.minutes:.0f} s, {60 * cost.cpu_minutes:.0f} s of processors' time)", flush=True)


def _conclude(model: str, figures: dict[str, dict[str, float]], report: Path, seconds: float) -> None:
    """Prints the first of the main figures in each framework; ends the program where they are too far apart."""
    title = next(iter(figures["torch"]))
    print(f"\n{title} of {model} with the same weights:")
    for framework, values in figures.items():
        print(f"  {framework:<10} {values[title]:6.2f}")
    found = [values[title] for values in figures.values()]
    spread = max(found) - min(found)
    print(f"spread {spread:.3f} points (at most {TOLERANCE} is asked), {seconds / 60:.1f} minutes")
    print(f"report: {report.resolve()}")
    if spread > TOLERANCE:
        sys.exit(1)


if __name__ == "__main__":
    run_command(main)
