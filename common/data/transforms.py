"""Turns images into a network's input: the steps that several families share."""

import cv2
import numpy as np
from PIL import Image

from common.config import FreeSizePreprocessing, Preprocessing


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes an image (H, W, 3) to (*size, 3), bilinear without antialiasing, pixel centres at half numbers."""
    return cv2.resize(np.ascontiguousarray(image), size[::-1], interpolation=cv2.INTER_LINEAR)


def fitted_sides(size: tuple[int, int], short_side: int, long_side: int) -> tuple[float, float]:
    """By detectron2's rule the sides (height, width), before they are rounded, of an image scaled to a short side.

    Where the long side would be longer than `long_side`, both are scaled once more.
    """
    short = min(size)
    scale = short_side / short
    height, width = (short_side if side == short else side * scale for side in size)
    if max(height, width) > long_side:
        shrinking = long_side / max(height, width)
        height, width = height * shrinking, width * shrinking
    return height, width


def resize_by_pillow(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes an image (H, W, 3) uint8 to (*size, 3), bilinear as Pillow does it.

    A smaller image is the mean over more pixels, and all are rounded to bytes.
    """
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))


def normalise(image: np.ndarray, settings: Preprocessing | FreeSizePreprocessing) -> np.ndarray:
    """Normalises an image (H, W, 3) RGB on 0..255 to (3, H, W) float32 in the network's channel order.

    A value x becomes (x - mean) / deviation of its channel.
    """
    channels = cv2.split(image)
    planes = np.stack(channels if settings.channel_order == "rgb" else channels[::-1]).astype(np.float32, copy=False)
    planes -= np.array(settings.mean, np.float32)[:, None, None]
    planes /= np.array(settings.deviation, np.float32)[:, None, None]
    return planes


def pad_images(images: list[np.ndarray], multiple: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (3, h, w) -> (N, 3, H, W), zeros to the right and below, and their sizes (N, 2) int32.

    Returns the images (N, 3, H, W), whose sides are multiples of `multiple`, and their sizes without the padding
    (N, 2) int32.
    """
    sizes = np.array([image.shape[1:] for image in images], np.int32)
    height, width = -(-sizes.max(axis=0) // multiple) * multiple
    padded = np.zeros((len(images), 3, height, width), np.float32)
    for image, canvas in zip(images, padded, strict=True):
        canvas[:, : image.shape[1], : image.shape[2]] = image
    return padded, sizes


def maybe(rng: np.random.Generator, probability: float = 0.5) -> bool:
    """Draws True with this probability; nothing is drawn where that is 0 or 1."""
    if probability in (0, 1):
        return probability == 1
    return bool(rng.integers(2)) if probability == 0.5 else bool(rng.random() < probability)
