"""The tasks that YOLACT's speed is measured by: inference, a training step, and assembling masks from prototypes."""

from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np

from common.array import Array, namespace
from common.data.made_up import IMAGE_SIZE, OBJECTS, make_boxes, make_picture
from common.families.speed import MASK_COUNTS, Arrays, Speed
from common.families.yolact.detection import Detections, postprocess
from common.families.yolact.geometry import Geometry
from common.families.yolact.masks import resize_binary
from common.families.yolact.samples import join, prepare
from common.families.yolact.settings import YolactSettings
from common.families.yolact.targets import collate, make_targets
from common.results import Instances

BATCH = 2
# What makes of initial weights scores that leave some thousand candidates for NMS at 550 pixels.
SHARPNESS, BACKGROUND = 20.0, 10.0


def make_inputs(settings: YolactSettings, images: int, seed: int, size: tuple[int, int] = IMAGE_SIZE) -> Arrays:
    """A batch for prediction of so many made-up images of this size (height, width)."""
    rng = np.random.default_rng(seed)
    return join([prepare(make_picture(rng, size), settings) for _ in range(images)], settings)


def make_batch(settings: YolactSettings, images: int, seed: int, size: tuple[int, int] = IMAGE_SIZE) -> Arrays:
    """A batch for training of so many made-up images of this size (height, width)."""
    rng = np.random.default_rng(seed)
    return collate([_make_training_sample(settings, size, rng) for _ in range(images)])


def _make_training_sample(settings: YolactSettings, image_size: tuple[int, int], rng: np.random.Generator) -> Arrays:
    """A picture with ellipses, which are its objects."""
    size = settings.preprocessing.size
    boxes = make_boxes(rng, OBJECTS)
    masks = np.zeros((len(boxes), size, size), np.uint8)
    for mask, box in zip(masks, boxes * size, strict=True):
        centre, axes = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
        cv2.ellipse(mask, centre.astype(int).tolist(), axes.astype(int).tolist(), 0, 0, 360, 1, -1)
    labels, crowd = rng.integers(0, settings.num_classes, len(boxes)), np.zeros(len(boxes), bool)
    targets = make_targets(boxes, labels, crowd, masks, settings, rng)
    image = prepare(make_picture(rng, image_size), settings)["image"]
    return {"image": image, "image_id": np.int64(1), **targets}


def enliven(weights: Arrays, settings: YolactSettings) -> Arrays:
    """Sharpens the scores of initial weights, which are else nearly equal, and favours the background."""
    made = weights | {"head.classes.weight": weights["head.classes.weight"] * np.float32(SHARPNESS)}
    made["head.classes.bias"].reshape(-1, settings.num_classes + 1)[:, 0] = BACKGROUND
    return made


def make_tasks(
    predict: Callable[[Arrays], list[Instances]],
    train: Callable[[Arrays], Any],
    settings: YolactSettings,
    seed: int,
    like: Array,
) -> dict[str, Callable[[], Any]]:
    """The whole inference, a training step, and the masks of 1, 10 and 100 detections; see `MakeTasks`."""
    inputs, batch = make_inputs(settings, 1, seed), make_batch(settings, BATCH, seed)
    drawn, detections = _make_detections(settings, seed)
    prototypes = namespace(like).asarray(drawn, like)

    def assemble(count: int) -> None:
        best = Detections(**{name: part[:count] for name, part in vars(detections).items()})
        postprocess(best, prototypes, IMAGE_SIZE)

    return {
        "whole inference, batch 1": lambda: predict(inputs),
        f"training step, batch {BATCH}": lambda: train(batch),
        **{f"assembly of masks, {count}": partial(assemble, count) for count in MASK_COUNTS},
    }


def _make_detections(settings: YolactSettings, seed: int) -> tuple[np.ndarray, Detections]:
    """Prototypes (h, w, K) and detections, the best first."""
    rng = np.random.default_rng(seed)
    grid, channels = Geometry.of(settings).prototypes, settings.network.prototypes
    prototypes = np.maximum(rng.standard_normal((*grid, channels), np.float32), 0)
    count = max(MASK_COUNTS)
    detections = Detections(
        make_boxes(rng, count),
        np.linspace(1, 0.1, count, dtype=np.float32),
        rng.integers(0, settings.num_classes, count),
        rng.uniform(-1, 1, (count, channels)).astype(np.float32),
    )
    return prototypes, detections


def paste_masks(found: Instances, settings: YolactSettings) -> np.ndarray:
    """The probabilities (N, h, w) of an image's instances -> their masks (N, H, W) bool."""
    return resize_binary(found.probabilities, found.image_size)


SPEED = Speed(
    inputs=make_inputs,
    batch=make_batch,
    batch_size=lambda settings: BATCH,
    enliven=enliven,
    tasks=make_tasks,
    inside={"assembly of masks": "from prototypes and coefficients in memory to masks in the image's size"},
    paste_masks=paste_masks,
)
