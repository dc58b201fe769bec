"""Drawing instances onto their image."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import cv2
import numpy as np

from common.packages import import_package
from common.results import Instances


@dataclass(frozen=True)
class Parts:
    """What is drawn of an instance; scores stand behind names."""

    masks: bool = True
    boxes: bool = True
    names: bool = True
    scores: bool = True


ALL_PARTS = Parts()


def require() -> ModuleType:
    """supervision, which draws; says how to install it where it is missing."""
    return import_package("supervision", "supervision", "drawing")


def draw(image: np.ndarray, instances: Instances, class_names: Sequence[str], parts: Parts = ALL_PARTS) -> np.ndarray:
    """A copy of `image` (H, W, 3) uint8 RGB with masks, boxes, names and scores; a class has one colour always."""
    sv = require()
    # It paints in OpenCV's order of channels.
    scene = np.ascontiguousarray(image[:, :, ::-1])
    if len(instances):
        size = (image.shape[1], image.shape[0])
        scale, thickness = sv.calculate_optimal_text_scale(size), sv.calculate_optimal_line_thickness(size)
        found = sv.Detections(
            xyxy=_last_pixels(instances.boxes),
            mask=instances.masks,
            confidence=instances.scores,
            class_id=instances.labels.astype(int),
        )
        if parts.masks:
            scene = sv.MaskAnnotator(opacity=0.45).annotate(scene, found)
        if parts.boxes:
            scene = sv.BoxAnnotator(thickness=thickness).annotate(scene, found)
        if parts.names:
            texts = [
                f"{class_names[label]} {score:.2f}" if parts.scores else class_names[label]
                for label, score in zip(instances.labels, instances.scores, strict=True)
            ]
            labels = sv.LabelAnnotator(text_scale=scale, text_thickness=max(thickness // 2, 1), text_padding=2)
            scene = labels.annotate(scene, found, texts)
    return np.ascontiguousarray(scene[:, :, ::-1])


def _last_pixels(boxes: np.ndarray) -> np.ndarray:
    """(N, 4) xyxy -> (N, 4), the first and last pixels that the boxes reach, which is what OpenCV draws between."""
    first = np.floor(boxes[:, :2])
    return np.concatenate([first, np.maximum(np.ceil(boxes[:, 2:]) - 1, first)], axis=1)


def montage(maps: np.ndarray, per_side: int, image_size: tuple[int, int]) -> np.ndarray:
    """The first maps (N, H, W), from 0 to 1, as heat maps in a square of `per_side` x `per_side`, row by row.

    -> (h, w, 3) uint8 RGB of about `image_size`; where there are fewer maps the rest is empty.
    """
    height, width = (max(side // per_side, 1) for side in image_size)
    grid = np.zeros((per_side, height, per_side, width), np.uint8)
    for place, heat in enumerate(maps[: per_side**2]):
        small = cv2.resize(heat, (width, height), interpolation=cv2.INTER_AREA)
        grid[place // per_side, :, place % per_side] = np.rint(255 * np.clip(small, 0, 1))
    coloured = cv2.applyColorMap(grid.reshape(per_side * height, per_side * width), cv2.COLORMAP_JET)
    return np.ascontiguousarray(coloured[:, :, ::-1])
