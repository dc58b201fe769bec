"""What every wing is given: settings, weights, data, and the batches that follow from them; a folder on disk."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common import weights as weight_files
from common.config import Settings
from common.data.coco import CocoDataset, resolve
from common.data.loader import Loader
from common.families import family_of
from common.files import atomic_path
from common.models import settings_from
from common.observing import Observer
from common.results import Instances
from common.training.randomness import stream

Arrays = dict[str, np.ndarray]

WEIGHTS = "weights.safetensors"
REGIONS, MIN_SIDE = 32, 0.05  # a region's sides are this share of the image's at least
SNAPSHOTS = (1, 2, 5, 10, 20)  # the optimizer steps after which the weights are looked at


@dataclass(frozen=True)
class Case:
    """One model on one set of inputs.

    data: folder of a data set whose training part gives the batches and whose validation part the images of gate 5.
    steps: optimizer steps of gate 4; 0 where that is not asked for.
    """

    settings: Settings
    data: Path
    seed: int = 0
    steps: int = 20

    def save(self, folder: Path) -> None:
        facts = asdict(self) | {"settings": self.settings.model_dump(mode="json"), "data": str(self.data)}
        with atomic_path(folder / "case.json") as path:
            path.write_text(json.dumps(facts, indent=1))

    @staticmethod
    def load(folder: Path) -> "Case":
        path = folder / "case.json"
        facts = json.loads(path.read_text())
        facts |= {"settings": settings_from(facts["settings"], str(path)), "data": Path(facts["data"])}
        return Case(**facts)

    def weights(self, folder: Path) -> Arrays:
        """The canonical weights that every wing starts from."""
        return weight_files.load(folder / WEIGHTS)[0]

    @staticmethod
    def has_weights(folder: Path) -> bool:
        return (folder / WEIGHTS).exists()

    def inputs(self) -> Arrays:
        """What the layers are given of the first validation image, as this process makes it from the file's bytes.

        The image; regions, which a two-stage model would choose itself; the persons of a model that is told of them.
        """
        samples = family_of(self.settings).samples.Inference(self.validation(), self.settings)
        batch = samples.collate([samples(0, np.random.default_rng(0))])  # nothing is drawn for prediction
        if self.settings.data_kind == "person_keypoints":
            return {name: values for name, values in batch.items() if name != "image_id"}
        if self.settings.family != "mask_rcnn":
            return {"image": batch["image"]}
        regions = _regions(batch["image"].shape[2:], stream(self.seed, 0, "regions"))
        return {"image": batch["image"], "rois": regions}

    def validation(self) -> CocoDataset:
        return resolve(self.data, "val", self.settings.data_kind)

    def batches(self) -> Iterator[Arrays]:
        """The training batches of the first steps, as the train command makes them; one at least, for the gradients."""
        training = resolve(self.data, "train", self.settings.data_kind)
        samples = family_of(self.settings).samples.Training(training, self.settings)
        size = self.settings.schedule.batch_size
        with Loader(samples, samples.collate, len(samples), size, self.seed, workers=0) as loader:
            for _ in range(max(1, self.steps)):
                yield next(loader)[1]

    def snapshots(self) -> tuple[int, ...]:
        return tuple(step for step in SNAPSHOTS if step <= self.steps)


def _regions(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """(REGIONS, 5): image index, x1, y1, x2, y2 in an image (height, width), from small ones to all of it."""
    sides = np.exp(rng.uniform(np.log(MIN_SIDE), 0.0, (REGIONS, 2))) * size[::-1]
    corners = rng.uniform(size=(REGIONS, 2)) * (size[::-1] - sides)
    return np.concatenate([np.zeros((REGIONS, 1)), corners, corners + sides], axis=1).astype(np.float32)


def learner(case: Case, learner_class: type, folder: Path, device: str = "cpu") -> Any:
    """A wing's learner, made for training, with the case's weights."""
    made = learner_class(case.settings, device, training=True)
    made.load_weights(case.weights(folder))
    return made


class Exact:
    """The reference's learner with its network, and all that it is given, in float64."""

    def __init__(self, learner: Any):
        self._learner = learner
        for tensor in (*learner.network.parameters(), *learner.network.buffers()):
            tensor.data = tensor.data.double()  # the network's own double() would put others in place of the buffers
        self.trainable, self.weights, self.load_weights = learner.trainable, learner.weights, learner.load_weights
        self.optimizer_state = learner.optimizer_state

    def trace(self, inputs: Arrays, observer: Observer | None = None) -> Arrays:
        return self._learner.trace(_in_float64(inputs), observer)

    def predict(self, inputs: Arrays, score_threshold: float = 0.0) -> list[Instances]:
        return self._learner.predict(_in_float64(inputs), score_threshold)

    def gradients(self, batch: Arrays) -> tuple[dict[str, float], Arrays]:
        return self._learner.gradients(_in_float64(batch))

    def train_step(self, batch: Arrays, learning_rate: float) -> dict[str, float]:
        return self._learner.train_step(_in_float64(batch), learning_rate)


def _in_float64(arrays: Arrays) -> Arrays:
    return {name: array.astype(np.float64) if array.dtype == np.float32 else array for name, array in arrays.items()}
