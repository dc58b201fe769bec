"""What differs between OpenCV's releases."""

import cv2
import numpy as np

# The fractions of a pixel in which OpenCV 4 counts where an affine map leads, and those that it weighs pixels by.
_STEPS, _SHARES = 1024, 32


def silence() -> None:
    """Has OpenCV write nothing on stderr itself: the one line that says what is wrong with an image comes from us."""
    # OpenCV 4 has the function at the top, OpenCV 5 in a module of its own; 0 is "silent" in both.
    set_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
    set_level(0)


def warp_affine(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) or (H, W, C) -> `size` (height, width): bilinear, zeros around, as OpenCV 4's warpAffine rounds.

    matrix: (2, 3), from the answer's pixels to the image's. OpenCV 4 reads at whole 32nds of a pixel; OpenCV 5 reads
    where the map leads, which moves an image's bytes by several levels away from those that weights were trained on.
    """
    if cv2.__version__.startswith("4."):
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(image, matrix.astype(np.float64), size[::-1], flags=flags)
    return _warp_at_shares(image, matrix.astype(np.float64), size)


def _warp_at_shares(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The same with the places worked out here, which takes a few times as long."""
    height, width = size
    columns, rows = np.arange(width), np.arange(height)[:, None]
    places = [
        np.rint((along * rows + shift) * _STEPS).astype(np.int64)
        + _STEPS // _SHARES // 2
        + np.rint(across * columns * _STEPS).astype(np.int64)
        for across, along, shift in matrix
    ]
    x, y = (place * _SHARES // _STEPS for place in places)
    whole = np.stack([x // _SHARES, y // _SHARES], axis=-1).clip(-(2**15), 2**15 - 1).astype(np.int16)
    shares = (y % _SHARES * _SHARES + x % _SHARES).astype(np.uint16)
    return cv2.remap(image, whole, shares, cv2.INTER_LINEAR)
