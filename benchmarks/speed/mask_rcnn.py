"""What is measured of Mask R-CNN: the whole inference, a training step, and pasting masks into the image.

On request also inference and training on images of different sizes beside the same on images of one size: a framework
that prepares itself for each new size takes longer for the former.
"""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import cv2
import numpy as np

from benchmarks.speed import made_up
from benchmarks.speed.measuring import Figures, Task, told_missing
from common.families.mask_rcnn import samples as mask_rcnn_samples
from common.families.mask_rcnn.geometry import mask_side
from common.families.mask_rcnn.masks import paste_binary
from common.families.mask_rcnn.outlines import Outline
from common.families.mask_rcnn.settings import MaskRcnnSettings

Sample = dict[str, np.ndarray]

# What makes of initial weights a thousand proposals, and of these more candidates than detections are wanted. It is
# for pixels of 0..255: where they are divided by a deviation, everything behind them is as much smaller.
SHARPNESS = {"rpn.objectness": 5.0, "rpn.deltas": 1.0, "box_head.classes": 3.0, "box_head.deltas": 1.0}
BACKGROUND = 3.0
# Of sizes that vary: the short side, in those of the settings, and the long side, in short sides.
SHORTEST, LONGEST = 0.8, 1.7
VARIED, EQUAL = "varied", "equal"


@dataclass
class _Model:
    settings: MaskRcnnSettings
    seed: int

    def weights(self, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
        """Initial weights whose scores are neither all equal nor all 0 or 1."""
        scale = np.mean(self.settings.preprocessing.deviation)
        sharper = {f"{layer}.weight": factor * scale for layer, factor in SHARPNESS.items()}
        made = made_up.lively_weights(shapes, self.settings, self.seed, sharper)
        made["box_head.classes.bias"][0 if self.settings.network.background == "first" else -1] = BACKGROUND
        return made


@dataclass
class Work(_Model):
    """On one image and a batch of one."""

    shortest_repetition = 0.2

    @property
    def title(self) -> str:
        height, width = inputs(self.settings, 1, self.seed)["image"].shape[2:]
        return f"{height} x {width} pixels"

    def tasks(self, framework: str) -> dict[str, Task]:
        settings, size = self.settings, made_up.IMAGE_SIZE
        learner, trained = made_up.learners(framework, settings, 1, self.weights)
        rng = np.random.default_rng(self.seed)
        count, side = max(made_up.COUNTS), mask_side(settings)
        boxes = made_up.boxes(rng, count) * np.float32([size[1], size[0], size[1], size[0]])
        masks = cv2.GaussianBlur(rng.uniform(0, 1, (side, side, count)), (5, 5), 0).transpose(2, 0, 1)
        masks = np.ascontiguousarray(masks, np.float32)
        tasks = {
            "whole inference, batch 1": Task(learner.predict, repeat(inputs(settings, 1, self.seed))),
            # With rate 0 the weights stay what they are, at the same cost.
            "training step, batch 1": Task(
                lambda given: trained.train_step(given, 0.0), repeat(batch(settings, 1, self.seed))
            ),
        }
        return tasks | {
            f"pasting of masks, {number}": Task(
                lambda number: paste_binary(masks[:number], boxes[:number], size, settings.convention), repeat(number)
            )
            for number in made_up.COUNTS
        }


@dataclass
class SizesWork(_Model):
    """Images of many sizes, each once, and one of a size in between as often."""

    sizes: list[tuple[int, int]]  # (height, width), as the network sees them without padding
    shortest_repetition = 0.0

    @property
    def title(self) -> str:
        multiple = self.settings.preprocessing.pad_multiple
        padded = {tuple(-(-side // multiple) * multiple for side in size) for size in self.sizes}
        return f"{len(self.sizes)} sizes with those that warm up, {len(padded)} when they are padded"

    def tasks(self, framework: str) -> dict[str, Task]:
        learner, trained = made_up.learners(framework, self.settings, 1, self.weights)
        areas = np.array([height * width for height, width in self.sizes])
        middle = self.sizes[np.abs(areas - areas.mean()).argmin()]

        def train(given: Sample) -> None:
            trained.train_step(given, 0.0)

        return {
            f"inference, {EQUAL}": Task(learner.predict, repeat(self._of_size(inputs, middle))),
            f"inference, {VARIED}": Task(learner.predict, self._of_sizes(inputs)),
            f"training, {EQUAL}": Task(train, repeat(self._of_size(batch, middle))),
            f"training, {VARIED}": Task(train, self._of_sizes(batch)),
        }

    def _of_sizes(self, make: Callable[..., Sample]) -> Iterator[Sample]:
        return (self._of_size(make, size) for size in self.sizes)

    def _of_size(self, make: Callable[..., Sample], size: tuple[int, int]) -> Sample:
        sides = {"short_side": min(size), "long_side": max(size)}
        preprocessing = self.settings.preprocessing.model_copy(update=sides)
        return make(self.settings.model_copy(update={"preprocessing": preprocessing}), 1, self.seed, size)


def make_work(settings: MaskRcnnSettings, seed: int) -> Work:
    return Work(settings, seed)


def make_sizes_work(settings: MaskRcnnSettings, seed: int, count: int) -> SizesWork:
    """Short sides as training draws them, and of the long ones every proportion, upright and lying."""
    rng = np.random.default_rng(seed)
    preprocessing = settings.preprocessing
    sizes: list[tuple[int, int]] = []
    while len(sizes) < count:
        short = round(preprocessing.short_side * rng.uniform(SHORTEST, 1))
        long = min(round(short * rng.uniform(1, LONGEST)), preprocessing.long_side)
        size = (short, long) if rng.random() < 0.5 else (long, short)
        if size not in sizes:
            sizes.append(size)
    return SizesWork(settings, seed, sizes)


def sizes_table(found: dict[str, Figures]) -> str:
    """A line a task: for each framework the time on different sizes as a ratio to that on equal ones."""
    lines, running = told_missing(found)
    lines.append(f"{'':<32}" + "".join(f"{name:>11}{'cpu':>6}{'slowest':>9}" for name in running))
    for work in ("inference", "training"):
        line = f"{work + ', ' + VARIED + ' / ' + EQUAL:<32}"
        for name in running:
            wall, cpu = (
                sum(found[name][quantity][f"{work}, {VARIED}"]) / sum(found[name][quantity][f"{work}, {EQUAL}"])
                for quantity in ("seconds", "cpu_seconds")
            )
            times = found[name]["cpu_seconds"][f"{work}, {VARIED}"]
            line += f"{wall:>11.2f}{cpu:>6.2f}{max(times) / statistics.median(times):>9.2f}"
        lines.append(line)
    return "\n".join(lines)


def inputs(settings: MaskRcnnSettings, images: int, seed: int, size: tuple[int, int] = made_up.IMAGE_SIZE) -> Sample:
    """A batch for prediction of so many made-up images of this size."""
    rng = np.random.default_rng(seed)
    pictures = [made_up.picture(rng, size) for _ in range(images)]
    return mask_rcnn_samples.join([mask_rcnn_samples.prepare(each, settings) for each in pictures], settings)


def batch(settings: MaskRcnnSettings, images: int, seed: int, size: tuple[int, int] = made_up.IMAGE_SIZE) -> Sample:
    """A batch for training of so many made-up images of this size."""
    rng = np.random.default_rng(seed)
    return mask_rcnn_samples.collate([_training_sample(settings, size, rng, seed) for _ in range(images)], settings)


def _training_sample(
    settings: MaskRcnnSettings, size: tuple[int, int], rng: np.random.Generator, seed: int
) -> dict[str, Any]:
    image = mask_rcnn_samples.prepare(made_up.picture(rng, size), settings)["image"]
    height, width = image.shape[1:]
    boxes = made_up.boxes(rng, made_up.OBJECTS) * np.float32([width, height, width, height])
    first = 1 if settings.network.background == "first" else 0
    return {
        "image": image,
        "image_id": np.int64(1),
        "boxes": boxes,
        "labels": first + rng.integers(0, settings.num_classes, len(boxes)).astype(np.int32),
        "outlines": [_ellipse(box, settings) for box in boxes],
        "seed": np.int64(seed),
    }


def _ellipse(box: np.ndarray, settings: MaskRcnnSettings) -> Outline:
    """The one that fills a box (4,) xyxy."""
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    outline = (box[:2] + box[2:]) / 2 + (box[2:] - box[:2]) / 2 * np.stack([np.cos(angles), np.sin(angles)], 1)
    if settings.convention != "torchvision":
        return Outline((outline.reshape(-1),))
    corner = box[:2].astype(int) - 1
    bitmap = np.zeros(np.ceil(box[3:1:-1] - corner[::-1]).astype(int) + 2, np.uint8)
    cv2.fillPoly(bitmap, [np.rint(outline - corner).astype(np.int32)], 1)
    return Outline(bitmap=bitmap, corner=tuple(corner.tolist()))
