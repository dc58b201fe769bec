"""The anchors of the two-stage models, in NumPy: (..., 4) xyxy in pixels of the padded image.

Anchors stand in the order map, row, column, anchor of the cell.
"""

from collections.abc import Sequence

import numpy as np

from common.families.mask_rcnn.conventions import Convention


def cell_anchors(rules: Convention, stride: int, sizes: Sequence[float], ratios: Sequence[float]) -> np.ndarray:
    """(A, 4) float32: the anchors of the first cell of a map; a ratio r is height over width.

    An anchor of size s has the width s / sqrt(r) and the height s * sqrt(r) about the cell's reference point.
    `anchor_rounding` says what of it is whole: "ratios" the sides of the box of a stride's size, which are then
    enlarged to s and lose the offset; "corners" the corners of the finished anchor; "none" nothing.
    """
    sizes, ratios = np.asarray(sizes, np.float64), np.asarray(ratios, np.float64)
    if rules.anchor_rounding == "ratios":
        widths = np.round(np.sqrt(stride * stride / ratios))
        heights, scales = np.round(widths * ratios), sizes / stride
    else:
        widths, heights, scales = 1 / np.sqrt(ratios), np.sqrt(ratios), sizes
    sides = np.stack([np.outer(widths, scales), np.outer(heights, scales)], axis=-1)  # (ratio, size, 2)
    if rules.anchor_order == "size, ratio":
        sides = sides.swapaxes(0, 1)
    half = 0.5 * (sides.reshape(-1, 2) - rules.offset)
    centre = 0.5 * (stride - 1) if rules.anchor_centre == "middle" else 0.0
    anchors = np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)
    return np.round(anchors) if rules.anchor_rounding == "corners" else anchors


def grid_anchors(cell: np.ndarray, grid: tuple[int, int], distances: tuple[int, int]) -> np.ndarray:
    """The first cell's anchors (A, 4) on every cell of a grid (h, w), whose cells are `distances` (y, x) pixels apart

    -> (h * w * A, 4)
    """
    height, width = grid
    y = np.arange(height, dtype=np.float32) * distances[0]
    x = np.arange(width, dtype=np.float32) * distances[1]
    y, x = np.meshgrid(y, x, indexing="ij")
    return (np.stack([x, y, x, y], axis=-1)[:, :, None] + cell).reshape(-1, 4)


def pyramid_anchors(
    rules: Convention,
    padded: tuple[int, int],
    grids: Sequence[tuple[int, int]],
    strides: Sequence[int],
    sizes: Sequence[Sequence[float]],
    ratios: Sequence[float],
) -> list[np.ndarray]:
    """One (h * w * A, 4) array a map. padded, grids: (height, width) of the padded image and of each map."""
    maps = []
    for grid, stride, sizes_of_map in zip(grids, strides, sizes, strict=True):
        by_stride = rules.anchor_distance == "stride"
        distances = (stride, stride) if by_stride else (padded[0] // grid[0], padded[1] // grid[1])
        maps.append(grid_anchors(cell_anchors(rules, stride, sizes_of_map, ratios), grid, distances))
    return maps


def inside_image(anchors: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Anchors (N, 4) -> (N,) bool: which of them lie wholly in an unpadded image (height, width)."""
    height, width = image_size
    x1, y1, x2, y2 = anchors.T
    return (x1 >= 0) & (y1 >= 0) & (x2 < width) & (y2 < height)


def of_own_cells(anchors: np.ndarray, image_size: tuple[int, int], multiple: int) -> np.ndarray:
    """Anchors (N, 4) -> (N,) bool: whose cells' corners lie in the image (height, width), padded to this multiple.

    It is for anchors about the upper left corners of their cells, which are whole.
    """
    height, width = (-(-side // multiple) * multiple for side in image_size)
    x, y = np.rint((anchors[:, :2] + anchors[:, 2:]) / 2).T
    return (x < width) & (y < height)
