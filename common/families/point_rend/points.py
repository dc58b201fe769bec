"""Points of regions: where they lie, which of them are drawn, and what is read there.

A point is (x, y) in 0..1 of its region; a cell (i, j) of a grid of side s has its centre at ((j + 0.5) / s,
(i + 0.5) / s).
"""

from collections.abc import Sequence

import numpy as np

from common.array import Array, namespace
from common.families.mask_rcnn.outlines import Outline
from common.families.point_rend.settings import TrainingPoints
from common.training.randomness import hash_numbers

STRIDE = 4  # of the map that the points are read from, the pyramid's finest


def grid_points(side: int) -> np.ndarray:
    """The centres of a grid's cells, row by row: (side * side, 2) float32."""
    centres = (np.arange(side, dtype=np.float32) + np.float32(0.5)) / np.float32(side)
    x, y = np.meshgrid(centres, centres)
    return np.stack([x, y], axis=-1).reshape(-1, 2)


def draw_points(seed: int, regions: np.ndarray, points: TrainingPoints) -> tuple[np.ndarray, np.ndarray]:
    """The candidates (K, C, 2) and the points that are taken without a choice (K, P, 2) of an image's regions.

    seed: the image's; regions (K,): the numbers of its regions, on which and on the seed alone the points depend.
    """
    fresh = points.count - points.unsure
    each = 2 * (points.candidates + fresh)
    numbers = regions.astype(np.uint64)[:, None] * np.uint64(each) + np.arange(each, dtype=np.uint64)
    uniform = (hash_numbers(seed, numbers) >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
    drawn = uniform.reshape(len(regions), points.candidates + fresh, 2)
    return drawn[:, : points.candidates], drawn[:, points.candidates :]


def to_image(points: Array, boxes: Array) -> Array:
    """Points (K, P, 2) of the boxes (K, 4) xyxy -> in pixels of the image, (K, P, 2)."""
    corners = boxes[:, None, :2]
    return corners + points * (boxes[:, None, 2:] - corners)


def read_map(feature: Array, points: Array, counts: Sequence[int]) -> Array:
    """Reads a map (N, C, h, w) of stride STRIDE at points (K, P, 2) in pixels of the image -> (K, C, P).

    The rows are those of one image after the other; counts: how many each image has. Outside the map everything is 0.
    """
    xp = namespace(feature)
    height, width = feature.shape[2:]
    grid = points * xp.asarray([2.0 / (STRIDE * width), 2.0 / (STRIDE * height)], like=feature) - 1.0
    read, start = [], 0
    for image, count in enumerate(counts):
        if count:
            of_image = xp.grid_sample(feature[image : image + 1], grid[None, start : start + count])
            read.append(xp.transpose(of_image[0], (1, 0, 2)))
        start += count
    return xp.concatenate(read)


def read_outlines(outlines: Sequence[Outline], points: np.ndarray) -> np.ndarray:
    """Reads the bitmap of each outline at points (K, P, 2) in pixels of the image, bilinearly -> (K, P) in 0..1.

    The centre of the image's first pixel is at (0.5, 0.5), and everything outside the bitmaps is 0.
    """
    read = np.zeros(points.shape[:2], np.float32)
    for values, outline, of_row in zip(read, outlines, points, strict=True):
        x, y = (of_row - np.float32(0.5) - np.float32(outline.corner)).T
        left, top = np.floor(x), np.floor(y)
        right_share, lower_share = x - left, y - top
        for row, share in ((top, 1 - lower_share), (top + 1, lower_share)):
            for column, part in ((left, 1 - right_share), (left + 1, right_share)):
                values += share * part * _pixels(outline.bitmap, row, column)
    return read


def _pixels(bitmap: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The pixels of a bitmap (h, w) at whole positions (P,), 0 outside: (P,) float32."""
    height, width = bitmap.shape
    is_inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    rows, columns = (np.where(is_inside, each, 0).astype(np.int64) for each in (rows, columns))
    return bitmap[rows, columns].astype(np.float32) * is_inside
