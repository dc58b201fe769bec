"""Persons' key points from a results file in COCO's format, in place of the annotated ones."""

import os
from pathlib import Path

import msgspec
import numpy as np

from common.data.figures import KEYPOINT_NAMES
from common.errors import UserError
from common.files import existing_file


class _Result(msgspec.Struct):
    image_id: int
    keypoints: list[float]
    score: float = 1.0


class KeypointResults:
    """The persons of each image, in the file's order.

    A point's third number is its visibility as annotations have it, where the file holds nothing but 0, 1 and 2 and any
    2; else a confidence: the point is seen where it is over `confidence`.
    """

    def __init__(self, path: str | os.PathLike, confidence: float = 0.0) -> None:
        self.path = existing_file(path, "key points")
        results = _read(self.path)
        self.keypoints = _points(results, self.path)
        self.scores = np.array([result.score for result in results], np.float32)
        image_ids = np.array([result.image_id for result in results], np.int64)
        self.image_ids, self._image = np.unique(image_ids, return_inverse=True)
        thirds = self.keypoints[..., 2]
        if not (np.isin(thirds, (0, 1, 2)).all() and (thirds == 2).any()):
            self.keypoints[..., 2] = 2 * (thirds > confidence)

    def __len__(self) -> int:
        return len(self.scores)

    def of_image(self, image_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Key points (P, 17, 3) x, y, visibility and scores (P,) of an image; none where the file does not name it."""
        place = np.searchsorted(self.image_ids, image_id)
        known = place < len(self.image_ids) and self.image_ids[place] == image_id
        rows = np.flatnonzero(self._image == place) if known else np.zeros(0, np.int64)
        return self.keypoints[rows], self.scores[rows]

    def summary(self, image_ids: np.ndarray) -> str:
        """Describes in words what the file has for these images."""
        persons = np.isin(self.image_ids[self._image], image_ids).sum()
        images = np.isin(self.image_ids, image_ids).sum()
        return f"the key points of {self.path} ({persons} persons on {images} images)"

    def check(self, image_ids: np.ndarray, origin: str | os.PathLike) -> None:
        """Refuses key points of which none belongs to an image of `origin`."""
        if not np.isin(self.image_ids, image_ids).any():
            raise UserError(
                f"{self.path}: none of its {len(self.image_ids)} image ids ({self.image_ids[0]}, ...) is in {origin}"
            )


def _read(path: Path) -> list[_Result]:
    try:
        results = msgspec.json.decode(path.read_bytes(), type=list[_Result])
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: not a file of key points in COCO's result format: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid JSON: {error}") from None
    if not results:
        raise UserError(f"{path}: holds no key points")
    return results


def _points(results: list[_Result], path: Path) -> np.ndarray:
    """(P, 17, 3) float32"""
    expected = 3 * len(KEYPOINT_NAMES)
    for place, result in enumerate(results):
        if len(result.keypoints) != expected:
            raise UserError(
                f"{path}: entry {place + 1} (image {result.image_id}) has {len(result.keypoints)} key-point numbers, "
                f"not {expected}"
            )
    points = np.array([result.keypoints for result in results], np.float64)
    finite = (np.abs(points) < 1e9).all(axis=1)
    if not finite.all():
        place = int(finite.argmin())
        raise UserError(f"{path}: entry {place + 1} (image {results[place].image_id}) has key points out of all bounds")
    return points.reshape(len(results), -1, 3).astype(np.float32)
