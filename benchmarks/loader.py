"""Measures how many images a second the loader makes ready for training, with one worker and with two.

On the synthetic set unless --data names another; the samples are those of the models: read, augmented, matched.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from benchmarks.models import default_models
from common.config import Settings
from common.data.coco import CocoDataset, resolve
from common.data.loader import Loader
from common.data.shapes import write_shapes
from common.errors import run_command
from common.families import family_of
from common.files import atomic_path
from common.models import load_settings

WORKERS = (1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.loader",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n  python -m benchmarks.loader\n  python -m benchmarks.loader yolact_base --data coco",
    )
    default = " ".join(default_models())
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"whose samples (default: {default})")
    parser.add_argument("--data", type=Path, help="folder of a COCO data set")
    parser.add_argument("--batches", type=int, default=20, help="batches that are timed (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="write the figures here as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = {}
        for model in arguments.models or default_models():
            root = arguments.data or _made_up(Path(folder), load_settings(model))
            found[model] = rates = measure(model, root, arguments.batches)
            for workers, rate in rates.items():
                title = f"{model}, {workers} worker{'s'[: workers - 1]}"
                print(f"{title}: {rate:.1f} images/s ({rate / rates[1]:.2f} times one worker)", flush=True)
    if arguments.output:
        with atomic_path(arguments.output) as path:
            path.write_text(json.dumps(found, indent=1))


def _made_up(folder: Path, settings: Settings) -> Path:
    """A synthetic set with annotations for a model and images as large as COCO's, written once for all such models."""
    stuff = settings.data_kind == "panoptic"
    return write_shapes(folder / ("stuff" if stuff else "plain"), images=64, seed=0, size=(480, 640), stuff=stuff)


def measure(model: str, root: Path, batches: int) -> dict[int, float]:
    """The number of workers -> how many samples of a model they make ready in a second."""
    settings = load_settings(model)
    dataset = resolve(root, "train", settings.data_kind, settings.data_files)
    settings = settings.with_classes(len(dataset.class_names), int(dataset.is_thing.sum()))
    return {workers: images_per_second(dataset, settings, workers, batches) for workers in WORKERS}


def images_per_second(dataset: CocoDataset, settings: Settings, workers: int, batches: int) -> float:
    """The rate after the workers have started and delivered what they had made ahead."""
    size = settings.schedule.batch_size
    samples = family_of(settings).samples.Training(dataset, settings)
    with Loader(samples, samples.collate, len(samples), size, seed=0, workers=workers) as loader:
        for _ in range(2 * workers + 1):
            next(loader)
        began = time.perf_counter()
        for _ in range(batches):
            next(loader)
        return batches * size / (time.perf_counter() - began)


if __name__ == "__main__":
    run_command(main)
