"""YOLACT's augmentation (SSD's) of an image with its boxes and masks; no transform changes what it is given.

A rectangle is xyxy in whole pixels. What is random draws from the generator that it is given, and from nothing else.
"""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from common.data.coco import Sample
from common.data.transforms import maybe, resize_image

Rectangle = tuple[int, int, int, int]

_CROP_ATTEMPTS = 50


def keep(sample: Sample, chosen: np.ndarray) -> Sample:
    """The sample with the objects that `chosen` (M,) bool or a list of rows names."""
    return replace(
        sample,
        boxes=sample.boxes[chosen],
        labels=sample.labels[chosen],
        crowd=sample.crowd[chosen],
        masks=sample.masks[chosen],
        annotation_ids=sample.annotation_ids[chosen],
    )


def resize(sample: Sample, size: tuple[int, int]) -> Sample:
    """To `size` (H, W), bilinear; masks are bilinear too, and rounded."""
    height, width = sample.image.shape[:2]
    scale = np.array([size[1] / width, size[0] / height], np.float32)
    masks = np.empty((len(sample.masks), *size), np.uint8)
    for mask, resized in zip(sample.masks, masks, strict=True):
        cv2.resize(np.ascontiguousarray(mask), size[::-1], dst=resized, interpolation=cv2.INTER_LINEAR)
    return replace(
        sample,
        image=resize_image(sample.image, size),
        boxes=sample.boxes * np.tile(scale, 2),
        masks=masks,
    )


def flip(sample: Sample) -> Sample:
    """Mirrored left to right: a box's x becomes W - x."""
    width = sample.image.shape[1]
    x1, y1, x2, y2 = sample.boxes.T
    return replace(
        sample,
        image=cv2.flip(sample.image, 1),
        boxes=np.stack([width - x2, y1, width - x1, y2], axis=1),
        masks=np.ascontiguousarray(sample.masks[:, :, ::-1]),
    )


def window(sample: Sample, rectangle: Rectangle, fill: Sequence[float]) -> Sample:
    """What is seen through the rectangle, with `fill` where it lies outside the image; boxes are cut to it.

    Objects that are not seen any more stay, with empty boxes.
    """
    left, top, right, bottom = rectangle
    width, height = right - left, bottom - top
    masks = np.zeros((len(sample.masks), height, width), sample.masks.dtype)
    # The part of the image that is seen.
    x1, y1 = max(left, 0), max(top, 0)
    x2, y2 = max(x1, min(right, sample.image.shape[1])), max(y1, min(bottom, sample.image.shape[0]))
    if x1 < x2 and y1 < y2:
        margins = (y1 - top, bottom - y2, x1 - left, right - x2)
        image = cv2.copyMakeBorder(sample.image[y1:y2, x1:x2], *margins, cv2.BORDER_CONSTANT, value=tuple(fill))
    else:
        image = np.full((height, width, 3), fill, sample.image.dtype)
    masks[:, y1 - top : y2 - top, x1 - left : x2 - left] = sample.masks[:, y1:y2, x1:x2]
    limit = np.array([width, height, width, height], np.float32)
    boxes = np.clip(sample.boxes - np.array([left, top, left, top], np.float32), 0, limit)
    return replace(sample, image=image, boxes=boxes, masks=masks)


def photometric(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """SSD's distortions of an image (H, W, 3) RGB on 0..255, as float32; nothing is cut to 0..255.

    Brightness maybe by up to 32, then contrast either before or after saturation and hue.
    """
    image = image.astype(np.float32)
    if maybe(rng):
        image = image + np.float32(rng.uniform(-32, 32))
    contrast_first = maybe(rng)
    if contrast_first:
        image = contrast(image, rng)
    image = saturation_and_hue(image, rng)
    return image if contrast_first else contrast(image, rng)


def contrast(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Maybe all values times 0.5..1.5."""
    return image * np.float32(rng.uniform(0.5, 1.5)) if maybe(rng) else image


def saturation_and_hue(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Maybe saturation times 0.5..1.5; maybe hue by up to 18 degrees."""
    # There and back even where neither changes: negative values, which brightness makes, come back as others.
    colours = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    if maybe(rng):
        colours[..., 1] *= np.float32(rng.uniform(0.5, 1.5))
    if maybe(rng):
        hue = colours[..., 0]
        hue += np.float32(rng.uniform(-18, 18))
        # OpenCV takes some hues below 0 for others, depending on the image's width.
        hue[hue > 360] -= 360
        hue[hue < 0] += 360
    return cv2.cvtColor(colours, cv2.COLOR_HSV2RGB)


def expansion(size: tuple[int, int], rng: np.random.Generator) -> Rectangle:
    """A rectangle of 1 to 4 times the sides of an image of `size` (H, W) that holds it anywhere."""
    height, width = size
    ratio = rng.uniform(1, 4)
    left, top = int(rng.uniform(0, width * ratio - width)), int(rng.uniform(0, height * ratio - height))
    return -left, -top, int(width * ratio) - left, int(height * ratio) - top


def sample_crop(
    boxes: np.ndarray, crowd: np.ndarray, size: tuple[int, int], rng: np.random.Generator
) -> tuple[Rectangle, np.ndarray]:
    """SSD's crop of an image of `size` (H, W): the rectangle, and which boxes (M, 4) xyxy it keeps, (M,) bool.

    One time in six the whole image; else sides of 0.3 to 1 of the image's with aspect 0.5 to 2, around the centre of
    at least one object that is no crowd. The originals also draw a minimum overlap of 0.1, 0.3, 0.7 or 0.9 or none, but
    their test of it never rejects, and the published models are trained so.
    """
    height, width = size
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    while rng.integers(6):
        for _ in range(_CROP_ATTEMPTS):
            w, h = rng.uniform(0.3 * width, width), rng.uniform(0.3 * height, height)
            if not 0.5 <= h / w <= 2:
                continue
            left, top = _towards_one(width - w, rng), _towards_one(height - h, rng)
            rectangle = int(left), int(top), int(left + w), int(top + h)
            kept = (centres > rectangle[:2]).all(axis=1) & (centres < rectangle[2:]).all(axis=1)
            if (kept & ~crowd).any():
                return rectangle, kept
    return (0, 0, width, height), np.ones(len(boxes), bool)


def _towards_one(bound: float, rng: np.random.Generator) -> float:
    """A number between `bound` and 1: the original writes uniform(bound), whose one argument NumPy takes for `low`."""
    return bound + (1 - bound) * rng.random()
