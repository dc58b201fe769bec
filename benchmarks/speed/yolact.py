"""What is measured of YOLACT: detection, a training step, and the assembly of masks from prototypes."""

import importlib
from dataclasses import dataclass
from itertools import repeat

import cv2
import numpy as np

from benchmarks.ops import first_array
from benchmarks.speed import made_up
from benchmarks.speed.measuring import Task
from common.families.yolact import samples as yolact_samples
from common.families.yolact.detection import Detections, postprocess
from common.families.yolact.geometry import Geometry
from common.families.yolact.settings import YolactSettings
from common.families.yolact.targets import collate, make_targets

BATCH = 2
# What makes of initial weights scores that leave some thousand candidates for NMS at 550 pixels.
SHARPNESS, BACKGROUND = 20.0, 10.0


@dataclass
class Work:
    """What every framework gets to do, in NumPy."""

    settings: YolactSettings
    seed: int
    inputs: dict[str, np.ndarray]  # of one image
    batch: dict[str, np.ndarray]
    prototypes: np.ndarray  # (h, w, K)
    detections: Detections
    shortest_repetition = 0.2

    @property
    def title(self) -> str:
        return f"{self.settings.preprocessing.size} pixels"

    def weights(self, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
        """Initial weights whose scores are neither all equal nor all 0 or 1."""
        made = made_up.lively_weights(shapes, self.settings, self.seed, {"head.classes.weight": SHARPNESS})
        made["head.classes.bias"].reshape(-1, self.settings.num_classes + 1)[:, 0] = BACKGROUND
        return made

    def tasks(self, framework: str) -> dict[str, Task]:
        learner, trained = made_up.learners(framework, self.settings, BATCH, self.weights)
        xp = importlib.import_module(f"{framework}_impl.ops")
        prototypes = xp.asarray(self.prototypes, first_array(framework))

        def masks(count: int) -> None:
            best = Detections(**{name: part[:count] for name, part in vars(self.detections).items()})
            postprocess(best, prototypes, made_up.IMAGE_SIZE)

        tasks = {
            "forward and detection, batch 1": Task(learner.predict, repeat(self.inputs)),
            # With rate 0 the weights stay what they are, at the same cost.
            f"training step, batch {BATCH}": Task(lambda batch: trained.train_step(batch, 0.0), repeat(self.batch)),
        }
        return tasks | {f"assembly of masks, {count}": Task(masks, repeat(count)) for count in made_up.COUNTS}


def make_work(settings: YolactSettings, seed: int) -> Work:
    rng = np.random.default_rng(seed)
    grid, channels = Geometry.of(settings).prototypes, settings.network.prototypes
    prototypes = np.maximum(rng.standard_normal((*grid, channels), np.float32), 0)
    count = max(made_up.COUNTS)
    detections = Detections(
        made_up.boxes(rng, count),
        np.linspace(1, 0.1, count, dtype=np.float32),
        rng.integers(0, settings.num_classes, count),
        rng.uniform(-1, 1, (count, channels)).astype(np.float32),
    )
    return Work(settings, seed, inputs(settings, 1, seed), batch(settings, BATCH, seed), prototypes, detections)


def inputs(settings: YolactSettings, images: int, seed: int) -> dict[str, np.ndarray]:
    """A batch for prediction of so many made-up images."""
    rng = np.random.default_rng(seed)
    samples = [yolact_samples.prepare(made_up.picture(rng), settings) for _ in range(images)]
    return yolact_samples.join(samples, settings)


def batch(settings: YolactSettings, images: int, seed: int) -> dict[str, np.ndarray]:
    """A batch for training of so many made-up images."""
    rng = np.random.default_rng(seed)
    return collate([_training_sample(settings, rng) for _ in range(images)])


def _training_sample(settings: YolactSettings, rng: np.random.Generator) -> dict[str, np.ndarray]:
    size = settings.preprocessing.size
    boxes = made_up.boxes(rng, made_up.OBJECTS)
    masks = np.zeros((len(boxes), size, size), np.uint8)
    for mask, box in zip(masks, boxes * size, strict=True):
        centre, axes = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
        cv2.ellipse(mask, centre.astype(int).tolist(), axes.astype(int).tolist(), 0, 0, 360, 1, -1)
    labels, crowd = rng.integers(0, settings.num_classes, len(boxes)), np.zeros(len(boxes), bool)
    targets = make_targets(boxes, labels, crowd, masks, settings, rng)
    image = yolact_samples.prepare(made_up.picture(rng), settings)["image"]
    return {"image": image, "image_id": np.int64(1), **targets}
