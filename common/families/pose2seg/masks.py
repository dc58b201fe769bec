"""Moves images and masks into the network's and the persons' squares, and masks back into the image."""

from collections.abc import Sequence

import numpy as np

from common import opencv
from common.families.pose2seg import affine


def warp(image: np.ndarray, matrix: np.ndarray, side: int) -> np.ndarray:
    """Moves an image (H, W) or (H, W, 3) by a matrix (2, 3) into a square of `side` pixels.

    It is interpolated bilinearly, with zeros around it; bytes are rounded.
    """
    return opencv.warp_affine(np.ascontiguousarray(image), affine.invert(matrix), (side, side))


def make_mask_targets(masks: Sequence[np.ndarray], matrices: np.ndarray, side: int) -> np.ndarray:
    """Moves each person's mask (H, W) into its aligned square by its matrix (2, 3): (P, side, side) uint8, 0 and 1."""
    targets = np.empty((len(masks), side, side), np.uint8)
    for mask, matrix, target in zip(masks, matrices, targets, strict=True):
        target[:] = warp(mask, matrix, side)
    return targets


def paste(foreground: np.ndarray, matrices: np.ndarray, size: tuple[int, int], threshold: float) -> np.ndarray:
    """Moves aligned probabilities (P, s, s) into an image of `size` (H, W): masks (P, H, W) bool.

    A mask is where the probability, interpolated bilinearly, is over the threshold. matrices: (P, 2, 3), from the image
    to each person's aligned square.
    """
    masks = np.zeros((len(foreground), *size), bool)
    for probability, matrix, mask, window in zip(
        foreground, matrices, masks, _find_windows(matrices, foreground.shape[-1], size), strict=True
    ):
        left, top, right, bottom = window
        if left >= right or top >= bottom:
            continue
        # Only this window of the image can meet the square.
        shifted = affine.compose(matrix.astype(np.float64), np.array([[1, 0, left], [0, 1, top]], np.float64))
        moved = opencv.warp_affine(probability.astype(np.float32), shifted, (bottom - top, right - left))
        mask[top:bottom, left:right] = moved > threshold
    return masks


def _find_windows(matrices: np.ndarray, side: int, size: tuple[int, int]) -> list[list[int]]:
    """Finds for each person the rectangle of the image, xyxy in whole pixels, around the aligned square of `side`."""
    low, high = -1.0, float(side)
    corners = np.array([[low, low], [high, low], [high, high], [low, high]])
    back = affine.invert(matrices)
    points = corners @ np.swapaxes(back[..., :2], -1, -2) + back[:, None, :, 2]
    limit = np.array(size[::-1])
    first = np.clip(np.floor(points.min(axis=1)) - 1, 0, limit)
    last = np.clip(np.ceil(points.max(axis=1)) + 2, 0, limit)
    return np.concatenate([first, last], axis=1).astype(int).tolist()
