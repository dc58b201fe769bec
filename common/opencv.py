"""Makes OpenCV's releases behave alike."""

import cv2
import numpy as np

# OpenCV 4 computes the source positions of an affine map in 1024ths of a pixel, and interpolates at 32nds.
_POSITION_UNITS, _INTERPOLATION_UNITS = 1024, 32


def silence() -> None:
    """Keeps OpenCV from writing to stderr, where our own single line says what is wrong with an image."""
    # OpenCV 4 has the function at the top, OpenCV 5 in a module of its own; 0 is "silent" in both.
    set_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
    set_level(0)


def warp_affine(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Warps an image (H, W) or (H, W, C) to `size` (height, width): bilinear, zeros around, as OpenCV 4 does it.

    matrix: (2, 3), from the result's pixels to the image's. OpenCV 4 rounds the positions that it reads to 32nds of a
    pixel. OpenCV 5 does not, which changes bytes by several levels from those that the weights were trained with.
    """
    if cv2.__version__.startswith("4."):
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(image, matrix.astype(np.float64), size[::-1], flags=flags)
    return _warp_at_rounded_positions(image, matrix.astype(np.float64), size)


def _warp_at_rounded_positions(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Warps as `warp_affine` with any OpenCV: computes the rounded positions here, which is a few times slower."""
    height, width = size
    x, y = np.arange(width), np.arange(height)[:, None]
    positions = [
        np.rint((factor_y * y + shift) * _POSITION_UNITS).astype(np.int64)
        + _POSITION_UNITS // _INTERPOLATION_UNITS // 2
        + np.rint(factor_x * x * _POSITION_UNITS).astype(np.int64)
        for factor_x, factor_y, shift in matrix
    ]
    x, y = (position * _INTERPOLATION_UNITS // _POSITION_UNITS for position in positions)
    pixels = np.stack([x // _INTERPOLATION_UNITS, y // _INTERPOLATION_UNITS], axis=-1)
    pixels = pixels.clip(-(2**15), 2**15 - 1).astype(np.int16)
    # cv2.remap takes the two fractions as one index into its table of interpolation weights.
    fractions = (y % _INTERPOLATION_UNITS * _INTERPOLATION_UNITS + x % _INTERPOLATION_UNITS).astype(np.uint16)
    return cv2.remap(image, pixels, fractions, cv2.INTER_LINEAR)
