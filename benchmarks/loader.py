"""How many images a second the loader makes ready for training, with one worker and with two.

On the synthetic set unless --data names another; the samples are those of a model: read, augmented, matched.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

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
    parser.add_argument("model", nargs="?", default="yolact_resnet50", help="whose samples (default: %(default)s)")
    parser.add_argument("--data", type=Path, help="folder of a COCO data set")
    parser.add_argument("--batches", type=int, default=20, help="batches that are timed (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="write the figures here as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # Images as large as COCO's.
        root = arguments.data or write_shapes(Path(folder), images=64, seed=0, size=(480, 640))
        chosen = load_settings(arguments.model)
        dataset = resolve(root, "train", chosen.data_kind, chosen.data_files)
        settings = load_settings(arguments.model, [f"num_classes={len(dataset.class_names)}"])
        rates = {workers: images_per_second(dataset, settings, workers, arguments.batches) for workers in WORKERS}
    for workers, rate in rates.items():
        print(f"{workers} worker{'s'[: workers - 1]}: {rate:.1f} images/s ({rate / rates[1]:.2f} times one worker)")
    if arguments.output:
        with atomic_path(arguments.output) as path:
            path.write_text(json.dumps(rates, indent=1))


def images_per_second(dataset: CocoDataset, settings: Settings, workers: int, batches: int) -> float:
    """After the workers have started and delivered what they had made ahead."""
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
