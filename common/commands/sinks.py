"""Writes predictions in the form that the output's suffix says; an output without a suffix is a folder."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from common.commands.media import VIDEO_SUFFIXES, video_writer
from common.errors import UserError
from common.files import IMAGE_SUFFIXES
from common.results import ALL_PARTS, Classes, Entry, Parts, Prediction, Result, ResultKind

# Called with an image's name, its number from 1, the image (H, W, 3) uint8 RGB, and what was found in it.
Write = Callable[[str, int, np.ndarray, Result], None]
# Opened with the classes and the frames a second; leaves a file in its place only when all went well.
Sink = Callable[[Classes, float], AbstractContextManager[Write]]


def choose_sink(
    kind: ResultKind, output: Path, forms: Sequence[str], has_many: bool, is_video: bool, parts: Parts = ALL_PARTS
) -> Sink:
    """The way to write results of a kind to `output`, for one image or many.

    forms: of the kind's forms those that a folder gets of each image. parts: what is drawn of a result.
    """
    suffix = output.suffix.lower()
    if suffix in (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES) or (suffix == "" and "overlay" in forms):
        kind.require_drawing()  # now, and not when the first image has been predicted
    if suffix == "" or output.is_dir():
        return partial(_write_folder, kind, output, forms, parts)
    if suffix == ".json":
        return partial(_write_entries, kind, output)
    if suffix in VIDEO_SUFFIXES and is_video:
        return partial(_write_video, kind, output, parts)
    if suffix in (*IMAGE_SUFFIXES, ".npz") and not has_many:
        return partial(_write_one, kind, output, parts)
    fitting = [".json", *(VIDEO_SUFFIXES if is_video else () if has_many else (*IMAGE_SUFFIXES, ".npz"))]
    raise UserError(f"--output {output}: for this input it is a folder or a file ending in {', '.join(fitting)}")


@contextmanager
def _write_folder(
    kind: ResultKind, folder: Path, forms: Sequence[str], parts: Parts, classes: Classes, rate: float
) -> Iterator[Write]:
    chosen = [form for name, form in kind.forms.items() if name in forms]
    taken: dict[str, str] = {}

    def write(name: str, number: int, image: np.ndarray, result: Result) -> None:
        stem = Path(name).stem
        if taken.setdefault(stem, name) != name:  # a.jpg and a.png in one folder
            stem = name
        prediction = Prediction(name, number, image, result, classes, parts)
        for form in chosen:
            form.write(folder / f"{stem}{form.ending}", prediction)

    yield write


@contextmanager
def _write_entries(kind: ResultKind, path: Path, classes: Classes, rate: float) -> Iterator[Write]:
    entries: list[Entry] = []

    def write(name: str, number: int, image: np.ndarray, result: Result) -> None:
        entries.extend(kind.named_entries(Prediction(name, number, image, result, classes)))

    yield write
    kind.write_entries(path, entries)


@contextmanager
def _write_one(kind: ResultKind, path: Path, parts: Parts, classes: Classes, rate: float) -> Iterator[Write]:
    form = kind.forms["npz" if path.suffix.lower() == ".npz" else "overlay"]

    def write(name: str, number: int, image: np.ndarray, result: Result) -> None:
        form.write(path, Prediction(name, number, image, result, classes, parts))

    yield write


@contextmanager
def _write_video(kind: ResultKind, path: Path, parts: Parts, classes: Classes, rate: float) -> Iterator[Write]:
    with video_writer(path, rate) as writer:

        def write(name: str, number: int, image: np.ndarray, result: Result) -> None:
            writer.write(kind.draw(image, result, classes.names, parts))

        yield write
