"""Images, folders of images, video files and cameras, as RGB arrays; and videos out."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from common.errors import UserError
from common.files import atomic_path
from common.predictions import IMAGE_SUFFIXES

VIDEO_SUFFIXES = {".mp4": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
# How far the count that a container tells may be above the frames that are there.
_MISCOUNT = 0.02

# What FFmpeg thinks of a broken file; the one line that says what is wrong comes from here.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def read_image(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB."""
    try:
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error):
        pixels = None
    if pixels is None:
        reason = "cannot be decoded; it is broken or no image" if path.is_file() else "not found"
        raise UserError(f"image {path}: {reason}")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


class Images:
    """An image, or those of a folder by name; all are decoded once, so that a broken one shows before the work."""

    def __init__(self, source: Path):
        self._paths = [source]
        if source.is_dir():
            self._paths = sorted(path for path in source.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
        if not self._paths:
            raise UserError(f"{source}: the folder holds no images ({', '.join(IMAGE_SUFFIXES)})")
        with ThreadPoolExecutor(2) as pool:
            decoded = pool.map(read_image, self._paths)
            for _ in tqdm(decoded, total=len(self._paths), desc="checking images", disable=None, leave=False):
                pass

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        for path in tqdm(self._paths, desc="predicting", unit="image", disable=None):
            yield path.name, read_image(path)


class Video:
    """The frames of a file or, by its index, of a camera; a file that ends before its time is an error."""

    def __init__(self, source: Path | int):
        self.is_camera = isinstance(source, int)
        self._name = f"camera {source}" if self.is_camera else f"video {source}"
        if not self.is_camera and not source.is_file():
            raise UserError(f"{self._name}: not found")
        self._capture = cv2.VideoCapture(source if self.is_camera else str(source))
        if not self._capture.isOpened():
            raise UserError(f"{self._name}: cannot be opened")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if 0 < rate <= 1000 else 30.0
        self.count = 0 if self.is_camera else max(int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        done = 0
        for frame in tqdm(self._frames(), total=self.count or None, desc="predicting", unit="frame", disable=None):
            done += 1
            yield f"frame_{done:06d}", frame
        if done == 0 or done < self.count - max(2, _MISCOUNT * self.count):
            raise UserError(f"{self._name}: ends after frame {done} of {self.count or 'unknown many'}")

    def _frames(self) -> Iterator[np.ndarray]:
        try:
            while True:
                is_read, frame = self._capture.read()
                if not is_read:
                    return
                yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        finally:
            self._capture.release()


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
