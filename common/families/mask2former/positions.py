"""Where the tokens of Mask2Former's maps lie, in NumPy: tables that follow from the maps' sizes alone.

A map's tokens go row by row, and those of several maps one map after the other.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from common.errors import UserError

# The strides of the maps that are read by both decoders, in the order in which they are read.
STRIDES = (32, 16, 8)
_TEMPERATURE = 10000.0
_EPSILON = 1e-6

# The (height, width) of each map.
Sizes = tuple[tuple[int, int], ...]


def map_sizes(height: int, width: int) -> Sizes:
    """The sizes of an image's maps of `STRIDES`; sides that are no multiples of the largest are refused."""
    if height % STRIDES[0] or width % STRIDES[0] or not height or not width:
        raise UserError(f"image: {height}x{width} pixels; Mask2Former's sides are multiples of {STRIDES[0]}")
    return tuple((height // stride, width // stride) for stride in STRIDES)


@lru_cache(maxsize=256)
def sine_positions(size: tuple[int, int], channels: int) -> np.ndarray:
    """What tells a map's tokens apart by their places: (H * W, channels) float32.

    The first half of the channels is of y, the second of x. Cells are counted from 1, the last of n becomes 2 pi n /
    (n + 1e-6), and this is divided by 10000 ** (2k / half) for the channels 2k, a sine, and 2k + 1, a cosine.
    """
    height, width = size
    y, x = (_waves(side, channels // 2) for side in (height, width))
    rows = np.broadcast_to(y[:, None], (height, width, channels // 2))
    columns = np.broadcast_to(x[None], (height, width, channels // 2))
    return np.concatenate([rows, columns], -1).reshape(height * width, channels).astype(np.float32)


@lru_cache(maxsize=256)
def reference_points(sizes: Sizes) -> np.ndarray:
    """The centre of each token's cell, (x, y) as shares of its map's width and height: (T, 2) float32."""
    points = []
    for height, width in sizes:
        y, x = (np.indices((height, width)).reshape(2, -1) + 0.5) / [[height], [width]]
        points.append(np.stack([x, y], -1))
    return np.concatenate(points).astype(np.float32)


def offset_pattern(heads: int, levels: int, points: int) -> np.ndarray:
    """The cells (x, y) from a token's place that each head reads before it has learned: (heads, levels, points, 2).

    The heads look into as many directions, evenly around; a head's points lie 1, 2, ... cells away from the place, on
    every map, as the larger of the two sides counts.
    """
    angles = np.arange(heads) * (2 * math.pi / heads)
    directions = np.stack([np.cos(angles), np.sin(angles)], -1)
    directions /= np.abs(directions).max(-1, keepdims=True)
    steps = np.arange(1, points + 1)[:, None]
    pattern = directions[:, None, None] * steps
    return np.broadcast_to(pattern, (heads, levels, points, 2)).astype(np.float32)


def cell_sizes(sizes: Sequence[tuple[int, int]]) -> np.ndarray:
    """What a cell of each map is of its width and its height: (maps, 2) float32."""
    return np.array([(1 / width, 1 / height) for height, width in sizes], np.float32)


def _waves(side: int, channels: int) -> np.ndarray:
    """The channels of one coordinate, of the cells 1 to `side`: (side, channels)."""
    marks = np.arange(1, side + 1) / (side + _EPSILON) * (2 * math.pi)
    pairs = np.arange(channels) // 2
    angles = marks[:, None] / _TEMPERATURE ** (2 * pairs / channels)
    return np.where(np.arange(channels) % 2 == 0, np.sin(angles), np.cos(angles))
