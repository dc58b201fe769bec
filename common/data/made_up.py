"""Pictures and boxes that are made up, to measure models on what needs no data set."""

import cv2
import numpy as np

IMAGE_SIZE = (480, 640)  # height, width
OBJECTS = 7  # in a training image, as many as in one of COCO's


def make_picture(rng: np.random.Generator, size: tuple[int, int] = IMAGE_SIZE) -> np.ndarray:
    """(*size, 3) uint8: soft blobs."""
    coarse = rng.integers(0, 256, (12, 16, 3)).astype(np.uint8)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)


def make_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 4) xyxy float32, relative to the image's sides."""
    corner = rng.uniform(0, 0.6, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(0.05, 0.4, (count, 2))], axis=1).astype(np.float32)
