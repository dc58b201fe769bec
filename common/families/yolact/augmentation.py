"""The steps of YOLACT's augmentation, which is SSD's, of an image with its boxes and masks.

A step returns a new sample and leaves the given one as it is. A rectangle is xyxy in whole pixels. All random numbers
come from the generator that a step is given.
"""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from common.data.coco import Sample
from common.data.transforms import maybe, resize_image

Rectangle = tuple[int, int, int, int]

_CROP_ATTEMPTS = 50


def select_objects(sample: Sample, selected: np.ndarray) -> Sample:
    """Returns the sample with the objects alone for which `selected` (M,) bool is true."""
    return replace(
        sample,
        boxes=sample.boxes[selected],
        labels=sample.labels[selected],
        crowd=sample.crowd[selected],
        masks=sample.masks[selected],
        annotation_ids=sample.annotation_ids[selected],
    )


def resize(sample: Sample, size: tuple[int, int]) -> Sample:
    """Resizes a sample to `size` (H, W), bilinear; masks are interpolated like images, and rounded."""
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
    """Mirrors a sample left to right: a box's x becomes W - x."""
    width = sample.image.shape[1]
    x1, y1, x2, y2 = sample.boxes.T
    return replace(
        sample,
        image=cv2.flip(sample.image, 1),
        boxes=np.stack([width - x2, y1, width - x1, y2], axis=1),
        masks=np.ascontiguousarray(sample.masks[:, :, ::-1]),
    )


def cut_out(sample: Sample, rectangle: Rectangle, fill: Sequence[float]) -> Sample:
    """Cuts a rectangle out of a sample; it may reach beyond the image, and has the colour `fill` there.

    Boxes are cut to the rectangle. Objects outside of it stay in the sample, with empty boxes.
    """
    left, top, right, bottom = rectangle
    width, height = right - left, bottom - top
    masks = np.zeros((len(sample.masks), height, width), sample.masks.dtype)
    # The part of the image inside the rectangle.
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


def distort_colours(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Applies SSD's distortions to an image (H, W, 3) RGB on 0..255; the float32 result is not cut to 0..255.

    Half of the time a number between -32 and 32 is added to all values. Contrast is changed either before or after
    saturation and hue.
    """
    image = image.astype(np.float32)
    if maybe(rng):
        image = image + np.float32(rng.uniform(-32, 32))
    contrast_first = maybe(rng)
    if contrast_first:
        image = change_contrast(image, rng)
    image = change_saturation_and_hue(image, rng)
    return image if contrast_first else change_contrast(image, rng)


def change_contrast(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Half of the time multiplies all values of an image (H, W, 3) by a number between 0.5 and 1.5."""
    return image * np.float32(rng.uniform(0.5, 1.5)) if maybe(rng) else image


def change_saturation_and_hue(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Changes an image (H, W, 3) float32 RGB: half of the time each, its saturation by a factor and its hue by a shift.

    The factor lies between 0.5 and 1.5, the shift between -18 and 18 degrees.
    """
    # The image goes to HSV and back even where neither changes: negative values, which brightness makes, are not the
    # same afterwards, and the original trains so.
    colours = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    if maybe(rng):
        colours[..., 1] *= np.float32(rng.uniform(0.5, 1.5))
    if maybe(rng):
        hue = colours[..., 0]
        hue += np.float32(rng.uniform(-18, 18))
        # OpenCV misreads some hues below 0, which ones depends on the image's width.
        hue[hue > 360] -= 360
        hue[hue < 0] += 360
    return cv2.cvtColor(colours, cv2.COLOR_HSV2RGB)


def draw_expansion(size: tuple[int, int], rng: np.random.Generator) -> Rectangle:
    """Draws a rectangle that contains an image of `size` (H, W) and has 1 to 4 times its sides."""
    height, width = size
    ratio = rng.uniform(1, 4)
    left, top = int(rng.uniform(0, width * ratio - width)), int(rng.uniform(0, height * ratio - height))
    return -left, -top, int(width * ratio) - left, int(height * ratio) - top


def draw_crop(
    boxes: np.ndarray, crowd: np.ndarray, size: tuple[int, int], rng: np.random.Generator
) -> tuple[Rectangle, np.ndarray]:
    """Draws SSD's crop of an image of `size` (H, W).

    boxes: (M, 4) xyxy; crowd: (M,) bool. Returns the rectangle, and (M,) bool: whether a box's centre lies in it.

    One time in six the crop is the whole image. Otherwise its sides are 0.3 to 1 of the image's, its aspect is 0.5 to
    2, and it contains the centre of at least one object that is no crowd. The originals also draw a minimum overlap of
    0.1, 0.3, 0.7 or 0.9 or none, but their test of it never rejects, and the published models are trained so.
    """
    height, width = size
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    while rng.integers(6):
        for _ in range(_CROP_ATTEMPTS):
            w, h = rng.uniform(0.3 * width, width), rng.uniform(0.3 * height, height)
            if not 0.5 <= h / w <= 2:
                continue
            left, top = _draw_towards_one(width - w, rng), _draw_towards_one(height - h, rng)
            rectangle = int(left), int(top), int(left + w), int(top + h)
            kept = (centres > rectangle[:2]).all(axis=1) & (centres < rectangle[2:]).all(axis=1)
            if (kept & ~crowd).any():
                return rectangle, kept
    return (0, 0, width, height), np.ones(len(boxes), bool)


def _draw_towards_one(bound: float, rng: np.random.Generator) -> float:
    """Draws a number between `bound` and 1.

    One between 0 and `bound` was meant: the original writes uniform(bound), and NumPy takes the argument for `low`.
    """
    return bound + (1 - bound) * rng.random()
