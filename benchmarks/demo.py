"""The main job in one command: train once, carry the weights to every framework, and see the same numbers.

Makes the synthetic set, trains yolact_tiny in PyTorch, writes the weights in Jittor's and MindSpore's own formats,
evaluates all three and lays their predictions side by side. Exit code 1 when the APs differ by more than 0.1.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from common.errors import UserError, run_command
from common.files import atomic_path

MODEL = "yolact_tiny"
# How each framework's own weights file is called.
FORMATS = {"torch": "torch.pth", "jittor": "jittor.pkl", "mindspore": "mindspore.ckpt"}
TOLERANCE = 0.1  # AP points
SHOWN = 8  # images in the picture


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  python -m benchmarks.demo --output demo_output",
    )
    parser.add_argument("--output", type=Path, default=Path("demo_output"), help="folder for everything it makes")
    parser.add_argument("--images", type=int, default=1000, help="images of the synthetic set")
    parser.add_argument("--iterations", type=int, help="training steps (default: the model's own schedule)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    began = time.monotonic()
    output, data = arguments.output, arguments.output / "shapes"
    if not (data / "annotations").is_dir():
        _run("common.data.shapes", data, "--images", arguments.images, "--seed", arguments.seed)
    trained = output / f"training-{int(time.time())}"
    steps = [] if arguments.iterations is None else ["--iterations", arguments.iterations]
    _run("torch_impl.train", MODEL, "--data", data, "--output", trained, "--seed", arguments.seed, *steps)
    weights = trained / "weights.safetensors"
    figures = {}
    for framework, name in FORMATS.items():
        own = output / "weights" / name
        _run("weights_convert", weights, own, "--model", MODEL, "--to", framework)
        results = output / framework
        _run(f"{framework}_impl.evaluate", MODEL, "--data", data, "--weights", own, "--output", results)
        shown = _some_images(data, output)
        _run(f"{framework}_impl.predict", MODEL, "--weights", own, shown, "--output", results / "images")
        figures[framework] = json.loads((results / "metrics.json").read_text())["mask"]["AP"]
    picture = _side_by_side([output / framework / "images" for framework in FORMATS], output / "side_by_side.png")
    _report(figures, picture, time.monotonic() - began)


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


def _report(figures: dict[str, float], picture: Path, seconds: float) -> None:
    print(f"\nmask AP (COCO segm, IoU 0.50:0.95) of {MODEL} with the same weights:")
    for framework, figure in figures.items():
        print(f"  {framework:<10} {figure:6.2f}")
    spread = max(figures.values()) - min(figures.values())
    print(f"spread {spread:.3f} points (at most {TOLERANCE} is asked), {seconds / 60:.1f} minutes; pictures: {picture}")
    if spread > TOLERANCE:
        sys.exit(1)


if __name__ == "__main__":
    run_command(main)
