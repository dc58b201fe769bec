"""The main job in one command: train once, carry the weights to every framework, and see the same numbers.

Makes the synthetic set, trains yolact_tiny or another model in PyTorch, writes the weights in Jittor's and MindSpore's
own formats, evaluates all three and lays their predictions side by side. Exit code 1 when the APs, or a panoptic
model's PQs, differ by more than 0.1.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from common.config import Settings
from common.data.shapes import forms_of
from common.errors import UserError, run_command
from common.families import family_of
from common.files import atomic_path
from common.models import load_settings

MODEL = "yolact_tiny"
# How each framework's own weights file is called.
FORMATS = {"torch": "torch.pth", "jittor": "jittor.pkl", "mindspore": "mindspore.ckpt"}
TOLERANCE = 0.1  # points of the main figure
SHOWN = 8  # images in the picture


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
    model, output = arguments.model, arguments.output
    data = _make_data(load_settings(model), output, arguments.images, arguments.seed)
    trained = output / f"training-{int(time.time())}"
    steps = [] if arguments.iterations is None else ["--iterations", arguments.iterations]
    _run("torch_impl.train", model, "--data", data, "--output", trained, "--seed", arguments.seed, *steps)
    figures = _rate_everywhere(model, trained / "weights.safetensors", data, output)
    picture = _side_by_side([output / framework / "images" for framework in FORMATS], output / "side_by_side.png")
    _report(model, figures, picture, time.monotonic() - began)


def _make_data(settings: Settings, output: Path, images: int, seed: int) -> Path:
    """The folder of a synthetic set with the kind of annotations that a model needs."""
    forms = [f"--{form}" for form, is_so in forms_of(settings.data_kind).items() if is_so]
    _run("common.data.shapes", output / "shapes", "--images", images, "--seed", seed, *forms)
    return output / "shapes"


def _rate_everywhere(model: str, weights: Path, data: Path, output: Path) -> dict[str, dict[str, float]]:
    """Evaluates the weights in each framework, in its own format, and draws some images -> the main figures of each."""
    settings = load_settings(model)
    kind = family_of(settings).results(settings)
    figures = {}
    for framework, name in FORMATS.items():
        own = output / "weights" / name
        _run("weights_convert", weights, own, "--model", model, "--to", framework)
        results = output / framework
        _run(f"{framework}_impl.evaluate", model, "--data", data, "--weights", own, "--output", results)
        shown = _some_images(data, output)
        _run(f"{framework}_impl.predict", model, "--weights", own, shown, "--output", results / "images")
        figures[framework] = kind.main_figures(json.loads((results / "metrics.json").read_text()))
    return figures


def _run(module: str, *arguments: object) -> None:
    """One of the project's commands in a process of its own; its output goes straight to the terminal."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    print(f"\n$ python {' '.join(command[1:])}", flush=True)
    code = subprocess.run(command).returncode
    if code:
        raise UserError(f"python -m {module} ended with exit code {code}")


def _some_images(data: Path, output: Path) -> Path:
    """A folder with links to the first images of the validation part."""
    folder = output / "images"
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted((data / "val").iterdir())[:SHOWN]:
        link = folder / path.name
        if not link.exists():
            link.symlink_to(path.resolve())
    return folder


def _side_by_side(folders: list[Path], path: Path) -> Path:
    """One row a framework, one column an image."""
    rows = []
    for folder in folders:
        images = [cv2.imread(str(image)) for image in sorted(folder.glob("*.png"))[:SHOWN]]
        rows.append(np.hstack(images))
    with atomic_path(path) as temporary:
        cv2.imwrite(str(temporary), np.vstack(rows))
    return path


def _report(model: str, figures: dict[str, dict[str, float]], picture: Path, seconds: float) -> None:
    """Prints the first of the main figures in each framework; ends the program where they are too far apart."""
    title = next(iter(figures["torch"]))
    print(f"\n{title} of {model} with the same weights:")
    for framework, values in figures.items():
        print(f"  {framework:<10} {values[title]:6.2f}")
    found = [values[title] for values in figures.values()]
    spread = max(found) - min(found)
    print(f"spread {spread:.3f} points (at most {TOLERANCE} is asked), {seconds / 60:.1f} minutes; pictures: {picture}")
    if spread > TOLERANCE:
        sys.exit(1)


if __name__ == "__main__":
    run_command(main)
