"""Prediction: from a batch of images to what Mask2Former finds in them."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from common.array import Array, namespace
from common.families.mask2former.inference import find_everything, find_instances, place_queries
from common.families.mask2former.settings import Mask2FormerSettings
from common.results import INSTANCES, PANOPTIC, Result, ResultKind


class Network(Protocol):
    """What prediction needs of every wing's `Mask2Former`.

    predict: images (N, 3, H, W) -> class logits (N, Q, K + 1) and mask logits (N, Q, H / 4, W / 4).
    """

    settings: Mask2FormerSettings

    def predict(self, image: Array) -> tuple[Array, Array]: ...


def find_results(
    network: Network, image: Array, inputs: Mapping[str, np.ndarray], score_threshold: float = 0.0
) -> list[Result]:
    """Each image's panoptic result, or its instances where that is the task, in its own pixels.

    image: (N, 3, H, W); inputs: image_size (N, 2), height and width without the padding, and original_size (N, 2),
    those of the image itself. The threshold is for scores of instances; which queries become panoptic segments,
    `settings.detection` says.
    """
    settings = network.settings
    class_logits, mask_logits = network.predict(image)
    xp, padded_size = namespace(class_logits), tuple(image.shape[2:])
    probabilities = xp.to_numpy(xp.softmax(class_logits, 2))
    sizes = (map(tuple, inputs[name].astype(int).tolist()) for name in ("image_size", "original_size"))
    results = []
    # Image by image: a hundred masks in an image's own size take up to a gigabyte.
    for row, (image_size, original_size) in enumerate(zip(*sizes, strict=True)):
        queries = place_queries(probabilities[row], mask_logits[row], padded_size, image_size, original_size)
        if settings.task == "panoptic":
            results.append(find_everything(queries, settings.things, settings.detection, score_threshold))
        else:
            most = settings.detection.max_detections
            results.append(find_instances(queries, settings.num_classes, most, score_threshold))
    return results


def results_of(settings: Mask2FormerSettings) -> ResultKind:
    """The kind of result that a model gives, by its task."""
    return PANOPTIC if settings.task == "panoptic" else INSTANCES
