"""A trained model over a whole data set."""

from typing import Any

import numpy as np
from tqdm import tqdm

from common.config import Settings
from common.data.coco import CocoDataset
from common.data.loader import ordered
from common.data.yolact_samples import YolactInference, stack
from common.evaluation.coco import Kind, coco_results


def predict_dataset(
    learner: Any, settings: Settings, dataset: CocoDataset, batch_size: int, workers: int
) -> dict[Kind, list[dict[str, Any]]]:
    """COCO results of every image of a data set, for boxes and for masks; shows a bar on a terminal."""
    results: dict[Kind, list[dict[str, Any]]] = {"box": [], "mask": []}
    batches = ordered(YolactInference(dataset, settings), stack, len(dataset), batch_size, workers)
    with tqdm(total=len(dataset), desc="predicting", unit="image", disable=None, leave=False) as bar:
        for batch in batches:
            count = len(batch["image_id"])
            # A batch of another size would make some frameworks compile again.
            images = np.concatenate([batch["image"], batch["image"][-1:].repeat(batch_size - count, axis=0)])
            sizes = [tuple(size) for size in batch["image_size"].tolist()]
            sizes += sizes[-1:] * (batch_size - count)
            for image_id, found in zip(batch["image_id"].tolist(), learner.predict(images, sizes), strict=False):
                for kind, entries in results.items():
                    entries += coco_results(image_id, found, dataset.category_ids, kind)
            bar.update(count)
    return results
