"""Makes and applies affine maps of the plane, as matrices m (..., 2, 3).

A point (x, y) goes to (m00 x + m01 y + m02, m10 x + m11 y + m12).
"""

import numpy as np


def transform(keypoints: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Moves key points (P, K, 3) x, y, visibility by matrices (P, 2, 3) or (2, 3); unlabelled ones become zeros."""
    moved = keypoints[..., :2].astype(np.float64) @ np.swapaxes(matrices[..., :2], -1, -2)
    moved += matrices[..., None, :, 2]
    labelled = keypoints[..., 2:] > 0
    return np.concatenate([moved * labelled, keypoints[..., 2:] * labelled], axis=-1).astype(np.float32)


def compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Returns the map (..., 2, 3) that applies `inner` (..., 2, 3) first, then `outer` (..., 2, 3)."""
    linear = outer[..., :2] @ inner
    linear[..., 2] += outer[..., 2]
    return linear


def invert(matrices: np.ndarray) -> np.ndarray:
    """Returns the inverse maps (..., 2, 3), in float64."""
    (a, b, x), (c, d, y) = np.moveaxis(matrices.astype(np.float64), (-2, -1), (0, 1))
    determinant = a * d - b * c
    rows = [[d, -b, b * y - d * x], [-c, a, c * x - a * y]]
    return np.moveaxis(np.array(rows) / determinant, (0, 1), (-2, -1))


def scaling(factor: float) -> np.ndarray:
    """Returns the map (2, 3) that scales by `factor` about the origin."""
    return np.array([[factor, 0, 0], [0, factor, 0]], np.float64)


def centred_resize(size: tuple[int, int], target: tuple[int, int]) -> np.ndarray:
    """Returns the map (2, 3) from an image of `size` (H, W) into the middle of one of `target` (H, W).

    The image keeps its aspect and becomes as large as fits.
    """
    (height, width), (target_height, target_width) = size, target
    scale = min(target_width / width, target_height / height)
    shift = (target_width - scale * width) / 2, (target_height - scale * height) / 2
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float64)


def turn_squares(angles: np.ndarray, scales: np.ndarray, shifts: np.ndarray, side: int) -> np.ndarray:
    """Returns maps (P, 2, 3) that turn and scale a square of `side` about its middle, then shift it.

    angles: (P,) degrees; scales: (P,); shifts: (P, 2) x, y as shares of the side.
    """
    cosine, sine = scales * np.cos(np.radians(angles)), scales * np.sin(np.radians(angles))
    linear = np.stack([np.stack([cosine, -sine], axis=-1), np.stack([sine, cosine], axis=-1)], axis=-2)
    middle = np.full(2, side / 2)
    return np.concatenate([linear, (middle + shifts * side - linear @ middle)[..., None]], axis=-1)
