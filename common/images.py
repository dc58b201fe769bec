"""Image files: which there are, and how one is written."""

from pathlib import Path

import cv2
import numpy as np

from common.errors import UserError
from common.files import IMAGE_SUFFIXES, atomic_path


def write_image(path: Path, image: np.ndarray) -> None:
    """Writes (H, W) or (H, W, 3) uint8 in OpenCV's order of channels; the path's suffix names the format."""
    with atomic_path(path) as temporary:
        try:
            written = cv2.imwrite(str(temporary), image)
        except cv2.error:
            written = False
        if not written:
            raise UserError(f"cannot write an image as {path}; there are {', '.join(IMAGE_SUFFIXES)}")
