"""A Pebble network put to work: instances out of its cells' answers."""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from common.array import Array, namespace
from common.boxes import clip
from common.families.pebble.geometry import decode
from common.families.pebble.losses import by_cell
from common.families.pebble.settings import PebbleSettings
from common.results import Instances


def find_instances(
    network: Any, image: Array, inputs: Mapping[str, np.ndarray], score_threshold: float = 0.0
) -> list[Instances]:
    """Images (N, 3, S, S) -> for each its instances, in the pixels of its `original_size` (height, width)."""
    answers = [namespace(value).to_numpy(by_cell(value)) for value in network(image).values()]
    sizes = map(tuple, inputs["original_size"].tolist())
    return [
        _instances(*each, size, network.settings, score_threshold) for *each, size in zip(*answers, sizes, strict=True)
    ]


def run_stages(network: Any, image: Array, inputs: Mapping[str, np.ndarray]) -> dict[str, Array | np.ndarray]:
    """Every named stage of images (N, 3, S, S): the network's answers by their names."""
    return network(image)


def _instances(
    classes: np.ndarray,
    boxes: np.ndarray,
    masks: np.ndarray,
    image_size: tuple[int, int],
    settings: PebbleSettings,
    score_threshold: float,
) -> Instances:
    """One image's answers (h * w, C), (h * w, 4) and (h * w, m * m) -> its instances, a class's best boxes alone."""
    xp, rules = namespace(classes), settings.detection
    scores, labels = xp.sigmoid(classes).max(axis=1), classes.argmax(axis=1)
    scale = np.array(image_size[::-1] * 2, np.float32) / settings.preprocessing.size
    boxes = clip(decode(boxes, settings.grid) * scale, image_size).astype(np.float32)
    kept = xp.nms(boxes, scores, rules.iou_threshold, classes=labels)[: rules.max_detections]
    kept = kept[scores[kept] > score_threshold]
    soft = xp.sigmoid(masks[kept]).reshape(-1, *[settings.network.mask_size] * 2).astype(np.float32)
    pasted = np.zeros((len(kept), *image_size), bool)
    for whole, mask, box in zip(pasted, soft, boxes[kept], strict=True):
        left, top, right, bottom = np.round(box).astype(int)
        if right > left and bottom > top:
            whole[top:bottom, left:right] = cv2.resize(mask, (int(right - left), int(bottom - top))) > 0.5
    return Instances(image_size, boxes[kept], scores[kept], labels[kept].astype(np.int64), pasted)
