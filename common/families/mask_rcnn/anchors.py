"""The anchors of the R-CNN families, in NumPy: (..., 4) xyxy in pixels of the padded image.

Anchors stand in the order level, row, column, anchor of the cell.
"""

from collections.abc import Sequence

import numpy as np

from common.boxes import Convention


def cell_anchors(family: Convention, stride: int, sizes: Sequence[float], ratios: Sequence[float]) -> np.ndarray:
    """(A, 4) float32: the anchors of one cell about its reference point; a ratio is height over width.

    maskrcnn_benchmark: by ratio, then size; rounded where ratio is applied to the stride, corners in the +1 convention,
    about the middle of the cell's pixels. torchvision: by ratio, then size; about the cell's upper left corner, the
    corners rounded. detectron2: by size, then ratio; about the upper left corner, not rounded.
    """
    sizes, ratios = np.asarray(sizes, np.float64), np.asarray(ratios, np.float64)
    if family == "maskrcnn_benchmark":
        widths = np.round(np.sqrt(stride * stride / ratios))
        heights = np.round(widths * ratios)
        scales = sizes / stride
        reach = np.stack([np.outer(widths, scales), np.outer(heights, scales)], axis=-1).reshape(-1, 2)
        half, middle = 0.5 * (reach - 1), 0.5 * (stride - 1)
        return np.concatenate([middle - half, middle + half], axis=1).astype(np.float32)
    roots = np.sqrt(ratios)
    if family == "torchvision":
        reach = np.stack([np.outer(1 / roots, sizes), np.outer(roots, sizes)], axis=-1).reshape(-1, 2)
        half = reach.astype(np.float32) / 2
        return np.round(np.concatenate([-half, half], axis=1))
    half = np.stack([np.outer(sizes, 1 / roots), np.outer(sizes, roots)], axis=-1).reshape(-1, 2) / 2
    return np.concatenate([-half, half], axis=1).astype(np.float32)


def grid_anchors(cell: np.ndarray, grid: tuple[int, int], strides: tuple[int, int]) -> np.ndarray:
    """The cell's anchors (A, 4) on every cell of a grid (h, w), `strides` (y, x) pixels apart -> (h * w * A, 4)"""
    height, width = grid
    y = np.arange(height, dtype=np.float32) * strides[0]
    x = np.arange(width, dtype=np.float32) * strides[1]
    y, x = np.meshgrid(y, x, indexing="ij")
    return (np.stack([x, y, x, y], axis=-1)[:, :, None] + cell).reshape(-1, 4)


def pyramid_anchors(
    family: Convention,
    padded: tuple[int, int],
    grids: Sequence[tuple[int, int]],
    strides: Sequence[int],
    sizes: Sequence[Sequence[float]],
    ratios: Sequence[float],
) -> list[np.ndarray]:
    """One (h * w * A, 4) array a level. padded, grids: (height, width) of the padded image and of each level's map.

    torchvision places its anchors padded side // map side apart, the others by the nominal stride.
    """
    levels = []
    for grid, stride, level_sizes in zip(grids, strides, sizes, strict=True):
        apart = (padded[0] // grid[0], padded[1] // grid[1]) if family == "torchvision" else (stride, stride)
        levels.append(grid_anchors(cell_anchors(family, stride, level_sizes, ratios), grid, apart))
    return levels


def inside_image(anchors: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """(N, 4) -> (N,) bool: which lie wholly in an unpadded image (height, width); maskrcnn-benchmark trains these."""
    height, width = image_size
    x1, y1, x2, y2 = anchors.T
    return (x1 >= 0) & (y1 >= 0) & (x2 < width) & (y2 < height)
