"""Images and masks moved by matrices: into the network's square, and from a person's aligned square back."""

from collections.abc import Sequence

import numpy as np

from common import opencv
from common.families.pose2seg import affine


def warp(image: np.ndarray, matrix: np.ndarray, side: int) -> np.ndarray:
    """(H, W) or (H, W, 3) moved by (2, 3) into a square of `side`: bilinear, zeros around; bytes are rounded."""
    return opencv.warp_affine(np.ascontiguousarray(image), affine.invert(matrix), (side, side))


def make_mask_targets(masks: Sequence[np.ndarray], matrices: np.ndarray, side: int) -> np.ndarray:
    """(P, side, side) uint8 of 0 and 1: each person's mask (H, W) in its aligned square."""
    targets = np.empty((len(masks), side, side), np.uint8)
    for mask, matrix, target in zip(masks, matrices, targets, strict=True):
        target[:] = warp(mask, matrix, side)
    return targets


def paste(foreground: np.ndarray, matrices: np.ndarray, size: tuple[int, int], threshold: float) -> np.ndarray:
    """Aligned probabilities (P, s, s) as masks (P, H, W) bool of an image of `size`: bilinear, over `threshold`.

    matrices: (P, 2, 3), from the image to each person's aligned square.
    """
    masks = np.zeros((len(foreground), *size), bool)
    for probability, matrix, mask, window in zip(
        foreground, matrices, masks, _windows(matrices, foreground.shape[-1], size), strict=True
    ):
        left, top, right, bottom = window
        if left >= right or top >= bottom:
            continue
        # The rest of the image lies outside the square.
        shifted = affine.compose(matrix.astype(np.float64), np.array([[1, 0, left], [0, 1, top]], np.float64))
        moved = opencv.warp_affine(probability.astype(np.float32), shifted, (bottom - top, right - left))
        mask[top:bottom, left:right] = moved > threshold
    return masks


def _windows(matrices: np.ndarray, side: int, size: tuple[int, int]) -> list[list[int]]:
    """For each person the rectangle of the image, xyxy in whole pixels, that can hold a part of the aligned square."""
    low, high = -1.0, float(side)
    corners = np.array([[low, low], [high, low], [high, high], [low, high]])
    back = affine.invert(matrices)
    places = corners @ np.swapaxes(back[..., :2], -1, -2) + back[:, None, :, 2]
    limit = np.array(size[::-1])
    first = np.clip(np.floor(places.min(axis=1)) - 1, 0, limit)
    last = np.clip(np.ceil(places.max(axis=1)) + 2, 0, limit)
    return np.concatenate([first, last], axis=1).astype(int).tolist()
