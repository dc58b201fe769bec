"""Masks into aligned squares and back, against bilinear sampling written plainly."""

import numpy as np

from common.families.pose2seg import affine
from common.families.pose2seg.masks import make_mask_targets, paste


def sampled(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """image (h, w) at places (..., 2) x, y: bilinear, zeros around."""
    padded = np.pad(image.astype(np.float64), 2)
    x, y = (np.clip(places[..., axis] + 2, 0, padded.shape[1 - axis] - 1.001) for axis in (0, 1))
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    x, y = x - column, y - row
    top = padded[row, column] * (1 - x) + padded[row, column + 1] * x
    bottom = padded[row + 1, column] * (1 - x) + padded[row + 1, column + 1] * x
    return top * (1 - y) + bottom * y


def mapped(matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Where the pixels of an image of `size` come to lie: (H, W, 2)"""
    rows, columns = np.mgrid[: size[0], : size[1]]
    return np.stack([columns, rows, np.ones(size)], axis=-1) @ matrix.T


def matrices(count: int, rng: np.random.Generator) -> np.ndarray:
    """Maps of an image of about 100 pixels into a square of 32 cells, some of which leave it."""
    turned = affine.turn_squares(
        rng.uniform(-40, 40, count), rng.uniform(0.2, 0.9, count), rng.uniform(-0.6, 0.6, (count, 2)), 32
    )
    return affine.compose(turned, np.array([[1, 0, -34], [0, 1, -24]], np.float64)).astype(np.float32)


def test_pasted_masks_are_the_squares_sampled_in_the_image():
    rng = np.random.default_rng(0)
    squares = rng.uniform(0, 1, (12, 8, 8)).repeat(4, axis=1).repeat(4, axis=2).astype(np.float32)
    maps = matrices(12, rng)
    maps[0, :, 2] = 1e4  # far outside
    masks = paste(squares, maps, (80, 100), 0.5)
    assert masks.shape == (12, 80, 100) and masks.dtype == bool
    for mask, square, matrix in zip(masks, squares, maps, strict=True):
        expected = sampled(square, mapped(matrix, (80, 100)))
        # OpenCV counts in 32nds of a pixel.
        clear = np.abs(expected - 0.5) > 0.06
        np.testing.assert_array_equal(mask[clear], (expected > 0.5)[clear])
    assert not masks[0].any() and masks[1:].any(axis=(1, 2)).sum() > 8
    assert paste(np.zeros((0, 32, 32), np.float32), maps[:0], (80, 100), 0.5).shape == (0, 80, 100)


def test_targets_are_the_masks_sampled_in_the_squares():
    rng = np.random.default_rng(1)
    masks = (rng.uniform(0, 1, (6, 8, 10)).repeat(10, axis=1).repeat(10, axis=2) > 0.5).astype(np.uint8)
    maps = matrices(6, rng)
    targets = make_mask_targets(list(masks), maps, 32)
    assert targets.dtype == np.uint8 and set(np.unique(targets)) == {0, 1}
    for target, mask, matrix in zip(targets, masks, maps, strict=True):
        expected = sampled(mask, mapped(affine.invert(matrix), (32, 32)))
        clear = np.abs(expected - 0.5) > 0.06
        np.testing.assert_array_equal(target[clear], (expected > 0.5)[clear])
