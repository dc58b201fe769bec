"""The tasks that PointRend's speed is measured by: those of Mask R-CNN, with PointRend's bitmaps and fine masks."""

from dataclasses import replace
from functools import partial

import numpy as np

from common.data.made_up import IMAGE_SIZE
from common.families.mask_rcnn import speed
from common.families.point_rend import samples
from common.families.point_rend.settings import PointRendSettings
from common.families.speed import Arrays


def make_batch(settings: PointRendSettings, images: int, seed: int, size: tuple[int, int] = IMAGE_SIZE) -> Arrays:
    """A batch for training of so many made-up images of this size (height, width)."""
    rng = np.random.default_rng(seed)
    made = [speed.make_training_sample(settings, size, rng, seed) for _ in range(images)]
    return samples.collate([samples.with_bitmaps(sample, settings.rules) for sample in made], settings)


SPEED = replace(
    speed.SPEED,
    batch=make_batch,
    tasks=partial(speed.make_tasks, make_batch=make_batch, side=lambda settings: settings.mask_sides()[-1]),
)
