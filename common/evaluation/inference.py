"""A trained model over a whole data set."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from common.config import Settings
from common.data.coco import CocoDataset
from common.data.loader import Batch, Collate, ordered
from common.data.samples import samples_for
from common.evaluation.coco import Kind, coco_results


@dataclass(frozen=True)
class _Filled:
    """Collates always `size` samples, the last one again where there are fewer: of another size a batch would make some
    frameworks compile again."""

    collate: Collate
    size: int

    def __call__(self, samples: list[dict]) -> Batch:
        return self.collate(samples + samples[-1:] * (self.size - len(samples)))


@dataclass(frozen=True)
class _Chosen:
    """The samples of a data set at `positions`, in their order; picklable, as a loader wants it."""

    samples: Any
    positions: np.ndarray

    def __call__(self, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return self.samples(int(self.positions[index]), rng)

    def describe(self, index: int) -> str:
        return self.samples.describe(int(self.positions[index]))


def predict_dataset(
    learner: Any,
    settings: Settings,
    dataset: CocoDataset,
    batch_size: int,
    workers: int,
    category_ids: np.ndarray | None = None,
    samples: Any = None,
    positions: np.ndarray | None = None,
) -> dict[Kind, list[dict[str, Any]]]:
    """COCO results of every image of a data set, for boxes and for masks; shows a bar on a terminal.

    category_ids (C,): of the model's classes, below 0 for one that the data set has not and whose instances are left
    out; without them the classes are the data set's own. samples: of the family's `Inference`, where they are
    not the plain ones. positions: the images, where they are not all but, for instance, a process's share; there may
    be none.
    """
    categories = np.asarray(dataset.category_ids if category_ids is None else category_ids)
    results: dict[Kind, list[dict[str, Any]]] = {kind: [] for kind in settings.result_kinds}
    samples = samples or samples_for(settings).Inference(dataset, settings)
    positions = np.arange(len(dataset)) if positions is None else positions
    chosen, fill = _Chosen(samples, positions), _Filled(samples.collate, batch_size)
    batches = ordered(chosen, fill, len(positions), batch_size, workers)
    with tqdm(total=len(positions), desc="predicting", unit="image", disable=None, leave=False) as bar:
        left = len(positions)
        for batch in batches:
            image_ids = batch.pop("image_id").tolist()[:left]
            left -= len(image_ids)
            for image_id, found in zip(image_ids, learner.predict(batch), strict=False):
                known = found[categories[found.labels] >= 0]
                for kind, entries in results.items():
                    entries += coco_results(image_id, known, categories, kind)
            bar.update(len(image_ids))
    return results
