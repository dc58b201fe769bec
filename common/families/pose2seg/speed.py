"""The tasks that Pose2Seg's speed is measured by: inference from an image and its key points, and a training step."""

from collections.abc import Callable
from typing import Any

import numpy as np

from common.array import Array
from common.data.made_up import IMAGE_SIZE, make_picture
from common.families.pose2seg.samples import join, make_prompt, prepare
from common.families.pose2seg.settings import Pose2SegSettings
from common.families.pose2seg.templates import load_templates
from common.families.speed import Arrays, Speed
from common.results import Instances

PERSONS = 5  # in the image


def make_inputs(settings: Pose2SegSettings, images: int, seed: int, size: tuple[int, int] = IMAGE_SIZE) -> Arrays:
    """A batch for prediction of so many made-up images (height, width) with some persons in each."""
    return _join_made_up(settings, images, PERSONS, np.random.default_rng(seed), size)


def make_prompted(settings: Pose2SegSettings, persons: int, seed: int) -> Arrays:
    """A batch for prediction of one made-up image with so many persons."""
    return _join_made_up(settings, 1, persons, np.random.default_rng(seed), IMAGE_SIZE)


def make_batch(settings: Pose2SegSettings, images: int, seed: int, size: tuple[int, int] = IMAGE_SIZE) -> Arrays:
    """A batch for training of so many made-up images, with as many persons as training takes at most."""
    share = max(1, settings.augmentation.persons // images)
    made = _join_made_up(settings, images, share, np.random.default_rng(seed), size)
    drawn = np.abs(made["skeletons"]).max(axis=1) > 0.2
    return made | {"masks": drawn.astype(np.uint8), "normaliser.persons": np.array(len(drawn), np.float32)}


def _join_made_up(
    settings: Pose2SegSettings, images: int, persons: int, rng: np.random.Generator, size: tuple[int, int]
) -> Arrays:
    """A batch for prediction of images (height, width) with so many persons in each."""
    samples = [
        prepare(make_picture(rng, size), settings) | make_prompt(_make_persons(rng, persons, size))
        for _ in range(images)
    ]
    return join(samples, settings)


def _make_persons(rng: np.random.Generator, count: int, size: tuple[int, int] = IMAGE_SIZE) -> np.ndarray:
    """(count, 17, 3) in an image's pixels: a template's pose here and there, not quite."""
    height, width = size
    points = load_templates().points[0] + rng.normal(0, 0.02, (count, 17, 2))
    points = points * rng.uniform(0.3, 0.7, (count, 1, 1)) * height + rng.uniform(0, 0.4, (count, 1, 2)) * width
    return np.concatenate([points, np.full((count, 17, 1), 2.0)], axis=2).astype(np.float32)


def make_tasks(
    predict: Callable[[Arrays], list[Instances]],
    train: Callable[[Arrays], Any],
    settings: Pose2SegSettings,
    seed: int,
    like: Array,
) -> dict[str, Callable[[], Any]]:
    """The inference with all that the key points are prepared for it, and a training step; see `MakeTasks`."""
    rng = np.random.default_rng(seed)
    image, keypoints = make_picture(rng), _make_persons(rng, PERSONS)
    batch = make_batch(settings, settings.schedule.batch_size, seed)

    def infer() -> list[Instances]:
        return predict(join([prepare(image, settings) | make_prompt(keypoints)], settings))

    return {
        f"whole inference, {PERSONS} persons": infer,
        f"training step, {len(batch['grid'])} persons": lambda: train(batch),
    }


SPEED = Speed(
    inputs=make_inputs,
    batch=make_batch,
    batch_size=lambda settings: settings.schedule.batch_size,
    tasks=make_tasks,
    inside={"whole inference": "from an image and its key points in memory to masks: preparing them is inside"},
    prompted=make_prompted,
    forward=lambda network, image: network.features(image),
    forward_title="the features alone",
)
