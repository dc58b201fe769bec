"""Images, folders of images, video files and cameras, as RGB arrays; and videos out."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from common import opencv
from common.data.coco import decode
from common.errors import UserError
from common.files import IMAGE_SUFFIXES, atomic_path

VIDEO_SUFFIXES = {".mp4": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
# How far the count that a container tells may be above the frames that are there.
_MISCOUNT = 0.02
# How many broken images a line names.
_NAMED = 10

# The one line that says what is wrong with a broken file comes from here, not from OpenCV and FFmpeg.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
opencv.silence()


def read_image(path: Path, upright: bool = True) -> np.ndarray:
    """A file -> (H, W, 3) uint8 RGB, turned `upright` as its EXIF data says or as it is stored."""
    try:
        pixels = decode(np.fromfile(path, np.uint8), upright)
    except OSError:
        pixels = None
    if pixels is None:
        reason = "cannot be decoded; it is broken or no image" if path.is_file() else "not found"
        raise UserError(f"image {path}: {reason}")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


class Images:
    """An image, or the images of a folder in the order of their names, without those that cannot be decoded.

    All are decoded once at the start, so that a folder of nothing but broken images is refused before the work.
    """

    def __init__(self, source: Path, upright: bool):
        self._upright = upright
        paths = [source]
        if source.is_dir():
            paths = sorted(path for path in source.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
        if not paths:
            raise UserError(f"{source}: the folder holds no images ({', '.join(IMAGE_SUFFIXES)})")
        with ThreadPoolExecutor(2) as pool:
            reasons = tqdm(
                pool.map(_reason, paths), total=len(paths), desc="checking images", disable=None, leave=False
            )
            self._reasons = dict(zip(paths, reasons, strict=True))
        self._paths = [path for path, reason in self._reasons.items() if reason is None]
        if not self._paths:
            self.check()

    def check(self) -> None:
        """Refuses the images that were left out, by name and in one line."""
        broken = [reason for reason in self._reasons.values() if reason is not None]
        if len(self._reasons) == len(broken) == 1:
            raise UserError(broken[0])
        if broken:
            named = "; ".join(broken[:_NAMED]) + ("; ..." if len(broken) > _NAMED else "")
            raise UserError(f"{len(broken)} of {len(self._reasons)} images were left out: {named}")

    @property
    def names(self) -> list[str]:
        return [path.name for path in self._paths]

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        for path in tqdm(self._paths, desc="predicting", unit="image", disable=None):
            yield path.name, read_image(path, self._upright)


def _reason(path: Path) -> str | None:
    """Why an image cannot be read; None where it can."""
    try:
        read_image(path)
    except UserError as error:
        return str(error)
    return None


class Video:
    """The frames of a file or, by its index, of a camera; a file that is cut off is refused before the work."""

    def __init__(self, source: Path | int):
        self._source = source
        self._name = f"camera {source}" if isinstance(source, int) else f"video {source}"
        if isinstance(source, Path) and not source.is_file():
            raise UserError(f"{self._name}: not found")
        capture = self._open()
        rate = capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if 0 < rate <= 1000 else 30.0
        self._count = None if isinstance(source, int) else self._count_frames(capture)
        capture.release()

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        capture, number = self._open(), 0
        with tqdm(total=self._count, desc="predicting", unit="frame", disable=None) as bar:
            while (frame := capture.read()[1]) is not None:
                number += 1
                bar.update()
                yield f"frame_{number:06d}", cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(self._source if isinstance(self._source, int) else str(self._source))
        if not capture.isOpened():
            reason = (
                "cannot be opened" if isinstance(self._source, int) else "cannot be decoded; it is broken or no video"
            )
            raise UserError(f"{self._name}: {reason}")
        return capture

    def _count_frames(self, capture: cv2.VideoCapture) -> int:
        """How many frames the file has; refused where that is far below the number that it tells."""
        told = max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 1)
        counted = sum(1 for _ in tqdm(iter(capture.grab, False), desc="checking frames", disable=None, leave=False))
        if counted < told - max(2, _MISCOUNT * told) or counted == 0:
            raise UserError(f"{self._name}: ends after frame {counted} of {told}")
        return counted


class VideoWriter:
    """Frames (H, W, 3) uint8 RGB into a file; the first one decides the size."""

    def __init__(self, path: Path, rate: float, codec: str):
        self._path, self._rate, self._codec = path, rate, codec
        self._writer: cv2.VideoWriter | None = None

    def write(self, frame: np.ndarray) -> None:
        if self._writer is None:
            size = (frame.shape[1], frame.shape[0])
            self._writer = cv2.VideoWriter(str(self._path), cv2.VideoWriter_fourcc(*self._codec), self._rate, size)
            if not self._writer.isOpened():
                raise UserError(f"cannot write a video of {size[0]}x{size[1]} as {self._path.suffix}")
        self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()


@contextmanager
def video_writer(path: Path, rate: float) -> Iterator[VideoWriter]:
    """A writer whose file takes its name when all frames are in it."""
    with atomic_path(path) as temporary:
        writer = VideoWriter(temporary, rate, VIDEO_SUFFIXES[path.suffix.lower()])
        try:
            yield writer
        finally:
            writer.close()
