"""Predictions of a trained model on the images of a data set, as entries of results files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from common.config import Settings
from common.data.coco import CocoDataset
from common.data.loader import Batch, ordered
from common.results import ResultKind, Results


def evaluated_positions(dataset: CocoDataset, settings: Settings) -> np.ndarray:
    """The images of a data set that a model is evaluated on: all, or those with annotations where there are any."""
    annotated = np.sort(dataset.positions_with_annotations())
    if settings.rates_empty_images or len(annotated) == 0:
        return np.arange(len(dataset))
    return annotated


def batches_alike(dataset: CocoDataset, settings: Settings, positions: np.ndarray, batch_size: int) -> np.ndarray:
    """Groups the positions into batches of images of a similar shape: (N,) -> (B, batch_size).

    Where images keep their aspect, wide and tall ones go into different batches, as in maskrcnn-benchmark: together
    they would be padded to a square. A batch that is not full repeats its last image, because some frameworks compile
    again for a batch of another size.
    """
    sizes = dataset.image_sizes()[positions]
    is_tall = sizes[:, 0] >= sizes[:, 1]
    if hasattr(settings.preprocessing, "size"):  # all images are resized to one size
        is_tall[:] = False
    batches = []
    for alike in (positions[~is_tall], positions[is_tall]):
        missing = -len(alike) % batch_size
        batches.append(np.concatenate([alike, np.repeat(alike[-1:], missing)]).reshape(-1, batch_size))
    return np.concatenate(batches)


@dataclass(frozen=True)
class _Subset:
    """The samples of a data set at `positions`, in their order; it can be pickled, as a loader needs it."""

    samples: Any
    positions: np.ndarray

    def __call__(self, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return self.samples(int(self.positions[index]), rng)

    def collate(self, samples: list[dict[str, np.ndarray]]) -> Batch:
        return self.samples.collate(samples)

    def describe(self, index: int) -> str:
        return self.samples.describe(int(self.positions[index]))


def predict_dataset(
    learner: Any,
    settings: Settings,
    dataset: CocoDataset,
    samples: Any,
    kind: ResultKind,
    batch_size: int,
    workers: int,
    category_ids: Sequence[int] | None = None,
    score_threshold: float = 0.0,
    top_k: int | None = None,
    positions: np.ndarray | None = None,
) -> Results:
    """Predicts the images of a data set and shows a bar on a terminal; the entries are in the data set's order.

    samples: of the data set, by the `Inference` of the model's family. kind: of the results that the model gives.
    category_ids (C,): of the model's classes, below 0 for a class that the data set has not and whose objects are left
    out; without them the classes are the data set's own. Objects whose score is not above `score_threshold`, and all
    but the best `top_k` of an image, are left out. positions: the images to predict, by default those that
    `evaluated_positions` gives; they may be none, where a process has no share of them.
    """
    categories = dataset.category_ids if category_ids is None else category_ids
    if positions is None:
        positions = evaluated_positions(dataset, settings)
    plan = batches_alike(dataset, settings, positions, batch_size)
    subset = _Subset(samples, plan.reshape(-1))
    batches = ordered(subset, subset.collate, plan.size, batch_size, workers)
    entries: dict[int, Results] = {}
    with tqdm(total=len(positions), desc="predicting", unit="image", disable=None, leave=False) as bar:
        for batch_positions, batch in zip(plan.tolist(), batches, strict=True):
            image_ids = batch.pop("image_id").tolist()
            results = learner.predict(batch, score_threshold)
            for position, image_id, result in zip(batch_positions, image_ids, results, strict=True):
                if position not in entries:
                    entries[position] = kind.entries(image_id, result, categories, top_k)
            bar.update(len(entries) - bar.n)
    return {name: [entry for position in sorted(entries) for entry in entries[position][name]] for name in kind.rated}
