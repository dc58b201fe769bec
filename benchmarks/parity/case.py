"""A case, in a folder: settings, weights and data that every wing is given, and the batches that follow from them."""

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

Arrays = dict[str, np.ndarray]

WEIGHTS = "weights.safetensors"
STEPS, FEWEST_STEPS = 20, 3
# Models whose weights take more make FEWEST_STEPS steps: each takes half a minute, and its state three times as much.
LARGE = 2**26


@dataclass(frozen=True)
class Case:
    """One model on one set of inputs.

    data: folder of a data set whose training part gives the batches and whose validation part the images of gate 5.
    steps: optimizer steps of gate 4; 0 where that is not asked for.
    """

    settings: Settings
    data: Path
    seed: int = 0
    steps: int = STEPS

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
        """The inputs of the network's stages: the first validation image (1, 3, H, W), and what its family adds.

        The image is made in this process, from the bytes of its file.
        """
        family = family_of(self.settings)
        samples = family.samples.Inference(self.validation(), self.settings)
        batch = samples.collate([samples(0, np.random.default_rng(0))])  # nothing is drawn for prediction
        return family.parity.stage_inputs(batch, self.seed)

    def validation(self) -> CocoDataset:
        return resolve(self.data, "val", self.settings.data_kind)

    def batches(self, count: int) -> Iterator[Arrays]:
        """The first training batches, as the train command makes them."""
        training = resolve(self.data, "train", self.settings.data_kind)
        samples = family_of(self.settings).samples.Training(training, self.settings)
        size = self.settings.schedule.batch_size
        with Loader(samples, samples.collate, len(samples), size, self.seed, workers=0) as loader:
            for _ in range(count):
                yield next(loader)[1]

    def affordable_steps(self, folder: Path) -> int:
        """STEPS, or FEWEST_STEPS of a large model."""
        return FEWEST_STEPS if (folder / WEIGHTS).stat().st_size > LARGE else STEPS


def make_learner(case: Case, learner_class: type, folder: Path, device: str = "cpu", dtype: str = "float32") -> Any:
    """A wing's learner, made for training, with the case's weights.

    dtype: the precision in which it computes; only the reference's wing has float64.
    """
    made = learner_class(case.settings, device, training=True, dtype=dtype)
    made.load_weights(case.weights(folder))
    return made
