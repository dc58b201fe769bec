"""A trained model over a whole data set."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from common.config import Settings
from common.data.coco import CocoDataset
from common.data.loader import Batch, ordered
from common.evaluation.coco import Kind, coco_results
from common.families import family_of
from common.results import Instances


def evaluated_positions(dataset: CocoDataset, settings: Settings) -> np.ndarray:
    """The images of a data set that a model is evaluated on: all, or those with annotations where there are any."""
    annotated = np.sort(dataset.positions_with_annotations())
    if settings.rates_empty_images or len(annotated) == 0:
        return np.arange(len(dataset))
    return annotated


def batches_alike(dataset: CocoDataset, settings: Settings, positions: np.ndarray, batch_size: int) -> np.ndarray:
    """(B, batch_size) of the positions, batch by batch, so that images of one batch are alike in shape.

    Where images keep their shape, those that lie and those that stand are apart, as in maskrcnn-benchmark: together
    they would be padded to a square. A batch that is not full repeats its last image: of another size a batch would
    make some frameworks compile again.
    """
    sizes = dataset.image_sizes()[positions]
    stands = sizes[:, 0] >= sizes[:, 1]
    if hasattr(settings.preprocessing, "size"):  # all images are made of one size
        stands[:] = False
    batches = []
    for alike in (positions[~stands], positions[stands]):
        missing = -len(alike) % batch_size
        batches.append(np.concatenate([alike, np.repeat(alike[-1:], missing)]).reshape(-1, batch_size))
    return np.concatenate(batches)


@dataclass(frozen=True)
class _Chosen:
    """The samples of a data set at `positions`, in their order; picklable, as a loader wants it."""

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
    batch_size: int,
    workers: int,
    category_ids: np.ndarray | None = None,
    samples: Any = None,
    score_threshold: float = 0.0,
    top_k: int | None = None,
    positions: np.ndarray | None = None,
) -> dict[Kind, list[dict[str, Any]]]:
    """COCO results of a data set's images, for boxes and for masks, in its order; shows a bar on a terminal.

    category_ids (C,): of the model's classes, below 0 for one that the data set has not and whose instances are left
    out; without them the classes are the data set's own. samples: of the family's `Inference`, where they are
    not the plain ones. Instances whose score is not above `score_threshold`, and all but the best `top_k` of an image,
    are left out. positions: the images, where they are not those that `evaluated_positions` names but, for instance, a
    process's share of these; there may be none.
    """
    categories = np.asarray(dataset.category_ids if category_ids is None else category_ids)
    samples = samples or family_of(settings).samples.Inference(dataset, settings)
    if positions is None:
        positions = evaluated_positions(dataset, settings)
    plan = batches_alike(dataset, settings, positions, batch_size)
    chosen = _Chosen(samples, plan.reshape(-1))
    batches = ordered(chosen, chosen.collate, plan.size, batch_size, workers)
    entries: dict[int, dict[Kind, list[dict[str, Any]]]] = {}
    with tqdm(total=len(positions), desc="predicting", unit="image", disable=None, leave=False) as bar:
        for places, batch in zip(plan.tolist(), batches, strict=True):
            image_ids = batch.pop("image_id").tolist()
            for position, image_id, found in zip(
                places, image_ids, learner.predict(batch, score_threshold), strict=True
            ):
                if position not in entries:
                    rated = _rated(found[:top_k], categories, settings)
                    kinds = settings.result_kinds
                    entries[position] = {kind: coco_results(image_id, rated, categories, kind) for kind in kinds}
            bar.update(len(entries) - bar.n)
    return {
        kind: [entry for position in sorted(entries) for entry in entries[position][kind]]
        for kind in settings.result_kinds
    }


def _rated(found: Instances, categories: np.ndarray, settings: Settings) -> Instances:
    """The instances of classes that the data set has and, where the original wants it, whose box has an area."""
    keep = categories[found.labels] >= 0
    if settings.results_have_area:
        keep &= (found.boxes[:, 2:] > found.boxes[:, :2]).all(axis=1)
    return found[keep]
