"""Where predictions go: the suffix of the output says in which form, and a path without one is a folder."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common import predictions, visualize
from common.commands.media import VIDEO_SUFFIXES, video_writer
from common.errors import UserError
from common.predictions import IMAGE_SUFFIXES
from common.results import Instances
from common.visualize import ALL_PARTS, Parts

FORMS = ("overlay", "masks", "npz", "json")

# Called with an image's name, its number from 1, the image (H, W, 3) uint8 RGB, and what was found in it.
Write = Callable[[str, int, np.ndarray, Instances], None]
# Opened with the classes and the frames a second; leaves a file in its place only when all went well.
Sink = Callable[["Classes", float], AbstractContextManager[Write]]


class Classes(NamedTuple):
    """What a model's labels count: the names, and each one's id in the data set that they are from."""

    names: Sequence[str]
    category_ids: Sequence[int]


def choose_sink(output: Path, forms: Sequence[str], has_many: bool, is_video: bool, parts: Parts = ALL_PARTS) -> Sink:
    """The way to write `output`, for one image or many; `forms` are those that a folder gets of each image, `parts`
    what is drawn of an instance."""
    suffix = output.suffix.lower()
    if suffix in (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES) or (suffix == "" and "overlay" in forms):
        visualize.require()  # now, and not when the first image has been predicted
    if suffix == "" or output.is_dir():
        return partial(_folder, output, forms, parts)
    if suffix == ".json":
        return partial(_coco_file, output)
    if suffix in VIDEO_SUFFIXES and is_video:
        return partial(_video_file, output, parts)
    if suffix in (*IMAGE_SUFFIXES, ".npz") and not has_many:
        return partial(_one_file, output, parts)
    fitting = [".json", *(VIDEO_SUFFIXES if is_video else () if has_many else (*IMAGE_SUFFIXES, ".npz"))]
    raise UserError(f"--output {output}: for this input it is a folder or a file ending in {', '.join(fitting)}")


@contextmanager
def _folder(folder: Path, forms: Sequence[str], parts: Parts, classes: Classes, rate: float) -> Iterator[Write]:
    taken: dict[str, str] = {}

    def write(name: str, number: int, image: np.ndarray, found: Instances) -> None:
        stem = Path(name).stem
        if taken.setdefault(stem, name) != name:  # a.jpg and a.png in one folder
            stem = name
        if "overlay" in forms:
            predictions.save_overlay(folder / f"{stem}.png", image, found, classes.names, parts)
        if "masks" in forms:
            predictions.save_masks(folder / f"{stem}_masks", found, classes.names)
        if "npz" in forms:
            predictions.save_arrays(folder / f"{stem}.npz", found, classes.names)
        if "json" in forms:
            predictions.save_coco(folder / f"{stem}.json", predictions.named_results(name, number, found, *classes))

    yield write


@contextmanager
def _coco_file(path: Path, classes: Classes, rate: float) -> Iterator[Write]:
    entries = []

    def write(name: str, number: int, image: np.ndarray, found: Instances) -> None:
        entries.extend(predictions.named_results(name, number, found, *classes))

    yield write
    predictions.save_coco(path, entries)


@contextmanager
def _one_file(path: Path, parts: Parts, classes: Classes, rate: float) -> Iterator[Write]:
    def write(name: str, number: int, image: np.ndarray, found: Instances) -> None:
        if path.suffix.lower() == ".npz":
            predictions.save_arrays(path, found, classes.names)
        else:
            predictions.save_overlay(path, image, found, classes.names, parts)

    yield write


@contextmanager
def _video_file(path: Path, parts: Parts, classes: Classes, rate: float) -> Iterator[Write]:
    with video_writer(path, rate) as writer:

        def write(name: str, number: int, image: np.ndarray, found: Instances) -> None:
            writer.write(predictions.draw(image, found, classes.names, parts))

        yield write
