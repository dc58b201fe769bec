"""The tables of Swin's attention in windows, in NumPy: which follow from the sides of windows and of maps alone.

A window of the side w has T = w * w tokens, row by row.
"""

from functools import lru_cache

import numpy as np

# What is added to the logits of two tokens that do not belong together, as the original does; it is not infinite.
APART = -100.0


@lru_cache(maxsize=16)
def relative_positions(window: int) -> np.ndarray:
    """The row of the bias table (2w - 1) ** 2 that serves each pair of tokens: (T * T,) int32.

    For the tokens i and j it is (y_i - y_j + w - 1) * (2w - 1) + x_i - x_j + w - 1.
    """
    y, x = (each.reshape(-1) for each in np.indices((window, window)))
    rows, columns = (each[:, None] - each[None] + window - 1 for each in (y, x))
    return (rows * (2 * window - 1) + columns).reshape(-1).astype(np.int32)


@lru_cache(maxsize=16)
def shift_masks(window: int, shift: int) -> np.ndarray:
    """What is added to the logits of a shifted map's windows, by their kind: (4, T, T) float32, 0 or `APART`.

    A map that was rolled by `shift` has in its last row of windows, and in its last column, tokens from both of its
    ends. They do not see each other. The kinds are those of `window_kinds`.
    """
    y, x = (each.reshape(-1) >= window - shift for each in np.indices((window, window)))
    masks = []
    for is_last_row, is_last_column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        regions = 2 * is_last_row * y + is_last_column * x
        masks.append(np.where(regions[:, None] == regions[None], 0.0, APART))
    return np.stack(masks).astype(np.float32)


@lru_cache(maxsize=256)
def window_kinds(images: int, rows: int, columns: int) -> np.ndarray:
    """The kind of every window of so many images' maps: (images * rows * columns,) int32.

    It is 0 of those inside a map, 1 of those in its last column, 2 in its last row, and 3 in the corner of both.
    """
    last_row, last_column = np.arange(rows) == rows - 1, np.arange(columns) == columns - 1
    kinds = 2 * last_row[:, None] + last_column[None]
    return np.tile(kinds.reshape(-1), images).astype(np.int32)
