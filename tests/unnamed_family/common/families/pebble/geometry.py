"""The grid of cells, and boxes as a cell tells them."""

import numpy as np

from common.boxes import to_centres, to_corners
from common.families.pebble.settings import STRIDE


def cell_of(box: np.ndarray, grid: int) -> int:
    """A box (4,) xyxy in pixels of the network's image -> the row of the cell that holds its centre."""
    x, y = np.clip((box[:2] + box[2:]) / 2 // STRIDE, 0, grid - 1).astype(int)
    return int(y * grid + x)


def encode(box: np.ndarray, cell: int, grid: int) -> np.ndarray:
    """A box (4,) xyxy in pixels of the network's image -> (4,) as its cell tells it."""
    centre_and_size = to_centres(box) / STRIDE
    return np.concatenate([centre_and_size[:2] - _centres(grid)[cell], np.log(centre_and_size[2:])])


def decode(told: np.ndarray, grid: int) -> np.ndarray:
    """(h * w, 4) of all cells -> boxes (h * w, 4) xyxy in pixels of the network's image."""
    return STRIDE * to_corners(np.concatenate([told[:, :2] + _centres(grid), np.exp(told[:, 2:])], axis=1))


def _centres(grid: int) -> np.ndarray:
    """(h * w, 2) float32 x, y of the cells' centres, in cells."""
    y, x = np.divmod(np.arange(grid * grid), grid)
    return np.stack([x, y], axis=1).astype(np.float32) + np.float32(0.5)
