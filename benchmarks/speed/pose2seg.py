"""What is measured of Pose2Seg: the whole inference from an image and its key points, and a training step."""

from dataclasses import dataclass
from itertools import repeat

import numpy as np

from benchmarks.speed import made_up
from benchmarks.speed.measuring import Task
from common.families.pose2seg import samples as pose2seg_samples
from common.families.pose2seg.settings import Pose2SegSettings
from common.families.pose2seg.templates import load_templates
from common.results import Instances

PERSONS = 5  # in the image


@dataclass
class Work:
    settings: Pose2SegSettings
    seed: int
    image: np.ndarray  # (H, W, 3) uint8
    keypoints: np.ndarray  # (P, 17, 3) in its pixels
    batch: dict[str, np.ndarray]
    shortest_repetition = 0.2

    @property
    def title(self) -> str:
        return f"{self.settings.preprocessing.size} pixels"

    def weights(self, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
        return made_up.lively_weights(shapes, self.settings, self.seed, {})

    def tasks(self, framework: str) -> dict[str, Task]:
        learner, trained = made_up.learners(framework, self.settings, len(self.batch["image"]), self.weights)

        def infer(keypoints: np.ndarray) -> list[Instances]:
            prompt = pose2seg_samples.make_prompt(keypoints)
            sample = pose2seg_samples.prepare(self.image, self.settings) | prompt
            return learner.predict(pose2seg_samples.join([sample], self.settings))

        return {
            f"whole inference, {PERSONS} persons": Task(infer, repeat(self.keypoints)),
            # With rate 0 the weights stay what they are, at the same cost.
            f"training step, {len(self.batch['grid'])} persons": Task(
                lambda batch: trained.train_step(batch, 0.0), repeat(self.batch)
            ),
        }


def make_work(settings: Pose2SegSettings, seed: int) -> Work:
    """One image with persons, and a batch with as many as training takes of it."""
    rng = np.random.default_rng(seed)
    image, keypoints = made_up.picture(rng), _persons(rng, PERSONS)
    return Work(settings, seed, image, keypoints, batch(settings, settings.schedule.batch_size, seed))


def inputs(settings: Pose2SegSettings, images: int, seed: int) -> dict[str, np.ndarray]:
    """A batch for prediction of so many made-up images with some persons in each."""
    return _joined(settings, images, PERSONS, np.random.default_rng(seed))


def batch(settings: Pose2SegSettings, images: int, seed: int) -> dict[str, np.ndarray]:
    """A batch for training of so many made-up images, with as many persons as training takes at most."""
    share = max(1, settings.augmentation.persons // images)
    made = _joined(settings, images, share, np.random.default_rng(seed))
    drawn = np.abs(made["skeletons"]).max(axis=1) > 0.2
    return made | {"masks": drawn.astype(np.uint8), "normaliser.persons": np.array(len(drawn), np.float32)}


def _joined(settings: Pose2SegSettings, images: int, persons: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    samples = [
        pose2seg_samples.prepare(made_up.picture(rng), settings) | pose2seg_samples.make_prompt(_persons(rng, persons))
        for _ in range(images)
    ]
    return pose2seg_samples.join(samples, settings)


def _persons(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 17, 3) in an image's pixels: a template's pose here and there, not quite."""
    height, width = made_up.IMAGE_SIZE
    points = load_templates().points[0] + rng.normal(0, 0.02, (count, 17, 2))
    points = points * rng.uniform(0.3, 0.7, (count, 1, 1)) * height + rng.uniform(0, 0.4, (count, 1, 2)) * width
    return np.concatenate([points, np.full((count, 17, 1), 2.0)], axis=2).astype(np.float32)
