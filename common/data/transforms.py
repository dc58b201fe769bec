"""Turns images into a network's input: the steps that several families share."""

import cv2
import numpy as np

from common.config import FreeSizePreprocessing, Preprocessing


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes an image (H, W, 3) to (*size, 3), bilinear without antialiasing, pixel centres at half numbers."""
    return cv2.resize(np.ascontiguousarray(image), size[::-1], interpolation=cv2.INTER_LINEAR)


def normalise(image: np.ndarray, settings: Preprocessing | FreeSizePreprocessing) -> np.ndarray:
    """Normalises an image (H, W, 3) RGB on 0..255 to (3, H, W) float32 in the network's channel order.

    A value x becomes (x - mean) / deviation of its channel.
    """
    channels = cv2.split(image)
    planes = np.stack(channels if settings.channel_order == "rgb" else channels[::-1]).astype(np.float32, copy=False)
    planes -= np.array(settings.mean, np.float32)[:, None, None]
    planes /= np.array(settings.deviation, np.float32)[:, None, None]
    return planes


def maybe(rng: np.random.Generator, probability: float = 0.5) -> bool:
    """Draws True with this probability; nothing is drawn where that is 0 or 1."""
    if probability in (0, 1):
        return probability == 1
    return bool(rng.integers(2)) if probability == 0.5 else bool(rng.random() < probability)
