"""The tasks that Mask R-CNN's speed is measured by: inference, a training step, and pasting masks into the image."""

from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np

from common.array import Array
from common.data.made_up import IMAGE_SIZE, OBJECTS, make_boxes, make_picture
from common.families.mask_rcnn import samples
from common.families.mask_rcnn.geometry import mask_side
from common.families.mask_rcnn.masks import paste_binary
from common.families.mask_rcnn.outlines import Outline
from common.families.mask_rcnn.settings import MaskRcnnSettings
from common.families.speed import MASK_COUNTS, Arrays, Speed
from common.results import Instances

# What makes of initial weights a thousand proposals, and of these more candidates than detections are wanted. It is
# for pixels of 0..255: where they are divided by a deviation, everything behind them is as much smaller.
SHARPNESS = {"rpn.objectness": 5.0, "rpn.deltas": 1.0, "box_head.classes": 3.0, "box_head.deltas": 1.0}
BACKGROUND = 3.0


def make_inputs(settings: MaskRcnnSettings, images: int, seed: int, size: tuple[int, int] = IMAGE_SIZE) -> Arrays:
    """A batch for prediction of so many made-up images of this size (height, width)."""
    rng = np.random.default_rng(seed)
    return samples.join([samples.prepare(make_picture(rng, size), settings) for _ in range(images)], settings)


def make_batch(settings: MaskRcnnSettings, images: int, seed: int, size: tuple[int, int] = IMAGE_SIZE) -> Arrays:
    """A batch for training of so many made-up images of this size (height, width)."""
    rng = np.random.default_rng(seed)
    return samples.collate([make_training_sample(settings, size, rng, seed) for _ in range(images)], settings)


def make_training_sample(
    settings: MaskRcnnSettings, size: tuple[int, int], rng: np.random.Generator, seed: int
) -> dict[str, Any]:
    """A picture with ellipses, which are its objects."""
    image = samples.prepare(make_picture(rng, size), settings)["image"]
    height, width = image.shape[1:]
    boxes = make_boxes(rng, OBJECTS) * np.float32([width, height, width, height])
    first = 1 if settings.network.background == "first" else 0
    return {
        "image": image,
        "image_id": np.int64(1),
        "boxes": boxes,
        "labels": first + rng.integers(0, settings.num_classes, len(boxes)).astype(np.int32),
        "outlines": [_make_ellipse(box, settings) for box in boxes],
        "seed": np.int64(seed),
    }


def _make_ellipse(box: np.ndarray, settings: MaskRcnnSettings) -> Outline:
    """The ellipse that fills a box (4,) xyxy."""
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    outline = (box[:2] + box[2:]) / 2 + (box[2:] - box[:2]) / 2 * np.stack([np.cos(angles), np.sin(angles)], 1)
    if settings.rules.mask_source == "polygons":
        return Outline((outline.reshape(-1),))
    corner = box[:2].astype(int) - 1
    bitmap = np.zeros(np.ceil(box[3:1:-1] - corner[::-1]).astype(int) + 2, np.uint8)
    cv2.fillPoly(bitmap, [np.rint(outline - corner).astype(np.int32)], 1)
    return Outline(bitmap=bitmap, corner=tuple(corner.tolist()))


def enliven(weights: Arrays, settings: MaskRcnnSettings) -> Arrays:
    """Sharpens the scores of initial weights, which are else nearly equal, and favours the background."""
    scale = np.mean(settings.preprocessing.deviation)
    sharper = {f"{layer}.weight": factor * scale for layer, factor in SHARPNESS.items()}
    made = weights | {name: weights[name] * np.float32(factor) for name, factor in sharper.items()}
    made["box_head.classes.bias"][0 if settings.network.background == "first" else -1] = BACKGROUND
    return made


def make_tasks(
    predict: Callable[[Arrays], list[Instances]],
    train: Callable[[Arrays], Any],
    settings: MaskRcnnSettings,
    seed: int,
    like: Array,
    make_batch: Callable[[MaskRcnnSettings, int, int], Arrays] = make_batch,
    side: Callable[[MaskRcnnSettings], int] = mask_side,
) -> dict[str, Callable[[], Any]]:
    """The whole inference, a training step, and the pasting of 1, 10 and 100 masks; see `MakeTasks`.

    side: the settings -> the side of the masks that are pasted.
    """
    inputs, batch = make_inputs(settings, 1, seed), make_batch(settings, 1, seed)
    boxes, masks = _make_masks(side(settings), seed)

    def paste(count: int) -> None:
        paste_binary(masks[:count], boxes[:count], IMAGE_SIZE, settings.rules)

    return {
        "whole inference, batch 1": lambda: predict(inputs),
        "training step, batch 1": lambda: train(batch),
        **{f"pasting of masks, {count}": partial(paste, count) for count in MASK_COUNTS},
    }


def _make_masks(side: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (K, 4) xyxy in an image's pixels, and soft masks (K, side, side) float32 in them."""
    rng = np.random.default_rng(seed)
    (height, width), count = IMAGE_SIZE, max(MASK_COUNTS)
    boxes = make_boxes(rng, count) * np.float32([width, height, width, height])
    masks = cv2.GaussianBlur(rng.uniform(0, 1, (side, side, count)), (5, 5), 0).transpose(2, 0, 1)
    return boxes, np.ascontiguousarray(masks, np.float32)


def paste_masks(found: Instances, settings: MaskRcnnSettings) -> np.ndarray:
    """The probabilities (N, m, m) of an image's instances in their boxes -> their masks (N, H, W) bool."""
    return paste_binary(found.probabilities, found.probability_boxes, found.image_size, settings.rules)


SPEED = Speed(
    inputs=make_inputs,
    batch=make_batch,
    enliven=enliven,
    tasks=make_tasks,
    inside={"pasting of masks": "from the masks in their boxes, in memory, to masks in the image's size"},
    paste_masks=paste_masks,
)
