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
) -> dict[Kind, list[dict[str, Any]]]:
    """COCO results of every image of a data set, for boxes and for masks; shows a bar on a terminal.

    category_ids (C,): of the model's classes, below 0 for one that the data set has not and whose instances are left
    out; without them the classes are the data set's own. samples: of the family's `Inference`, where they are
    not the plain ones. Instances whose score is not above `score_threshold`, and all but the best `top_k` of an image,
    are left out.
    """
    categories = np.asarray(dataset.category_ids if category_ids is None else category_ids)
    results: dict[Kind, list[dict[str, Any]]] = {kind: [] for kind in settings.result_kinds}
    samples = samples or samples_for(settings).Inference(dataset, settings)
    batches = ordered(samples, _Filled(samples.collate, batch_size), len(samples), batch_size, workers)
    with tqdm(total=len(dataset), desc="predicting", unit="image", disable=None, leave=False) as bar:
        left = len(samples)
        for batch in batches:
            image_ids = batch.pop("image_id").tolist()[:left]
            left -= len(image_ids)
            for image_id, found in zip(image_ids, learner.predict(batch, score_threshold), strict=False):
                found = found[:top_k]
                known = found[categories[found.labels] >= 0]
                for kind, entries in results.items():
                    entries += coco_results(image_id, known, categories, kind)
            bar.update(len(image_ids))
    return results
