"""Pictures of results: instances and segments drawn onto their image, and heat maps side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

import cv2
import numpy as np

from common.packages import import_package

if TYPE_CHECKING:
    from common.results.instances import Instances
    from common.results.panoptic import Panoptic


@dataclass(frozen=True)
class Parts:
    """The parts of a result that are drawn; scores stand behind names."""

    masks: bool = True
    boxes: bool = True
    names: bool = True
    scores: bool = True
    points: bool = False  # at which masks were computed anew, where a model does that


ALL_PARTS = Parts()


def require_supervision() -> ModuleType:
    """The package that draws; where it is missing, an error that says how to install it."""
    return import_package("supervision", "supervision", "drawing")


def draw_instances(
    image: np.ndarray, instances: "Instances", class_names: Sequence[str], parts: Parts = ALL_PARTS
) -> np.ndarray:
    """A copy of `image` (H, W, 3) uint8 RGB with masks, boxes, names and scores; a class always has the same colour."""
    sv = require_supervision()
    # supervision paints in OpenCV's order of channels.
    scene = np.ascontiguousarray(image[:, :, ::-1])
    if len(instances):
        size = (image.shape[1], image.shape[0])
        scale, thickness = sv.calculate_optimal_text_scale(size), sv.calculate_optimal_line_thickness(size)
        detections = sv.Detections(
            xyxy=_corner_pixels(instances.boxes),
            mask=instances.masks,
            confidence=instances.scores,
            class_id=instances.labels.astype(int),
        )
        if parts.masks:
            scene = sv.MaskAnnotator(opacity=0.45).annotate(scene, detections)
        if parts.boxes:
            scene = sv.BoxAnnotator(thickness=thickness).annotate(scene, detections)
        if parts.names:
            texts = _texts(instances.labels, instances.scores, class_names, parts)
            labels = sv.LabelAnnotator(text_scale=scale, text_thickness=max(thickness // 2, 1), text_padding=2)
            scene = labels.annotate(scene, detections, texts)
        if parts.points and instances.points is not None:
            _draw_points(scene, instances.points)
    return np.ascontiguousarray(scene[:, :, ::-1])


def draw_segments(
    image: np.ndarray, result: "Panoptic", class_names: Sequence[str], parts: Parts = ALL_PARTS
) -> np.ndarray:
    """A copy of `image` (H, W, 3) uint8 RGB with its segments in their classes' colours, borders, names and scores.

    Things and stuff are named alike, each in its middle.
    """
    sv = require_supervision()
    scene = np.ascontiguousarray(image[:, :, ::-1])
    if len(result):
        masks, size = result.masks(), (image.shape[1], image.shape[0])
        segments = sv.Detections(
            xyxy=sv.mask_to_xyxy(masks), mask=masks, confidence=result.scores, class_id=result.labels.astype(int)
        )
        if parts.masks:
            scene = sv.MaskAnnotator(opacity=0.45).annotate(scene, segments)
            scene[_borders(result.segment_map)] = 255
        if parts.names:
            texts = _texts(result.labels, result.scores, class_names, parts)
            scale, thickness = sv.calculate_optimal_text_scale(size), sv.calculate_optimal_line_thickness(size)
            middle = sv.Position.CENTER_OF_MASS
            labels = sv.LabelAnnotator(
                text_scale=scale, text_thickness=max(thickness // 2, 1), text_padding=2, text_position=middle
            )
            scene = labels.annotate(scene, segments, texts)
    return np.ascontiguousarray(scene[:, :, ::-1])


def _texts(labels: np.ndarray, scores: np.ndarray, class_names: Sequence[str], parts: Parts) -> list[str]:
    """What is written to each object: the name of its class, and its score where that is wanted."""
    return [
        f"{class_names[label]} {score:.2f}" if parts.scores else class_names[label]
        for label, score in zip(labels, scores, strict=True)
    ]


def _borders(segment_map: np.ndarray) -> np.ndarray:
    """The pixels (H, W) bool whose right or lower neighbour is of another segment."""
    borders = np.zeros(segment_map.shape, bool)
    borders[:, :-1] |= segment_map[:, :-1] != segment_map[:, 1:]
    borders[:-1] |= segment_map[:-1] != segment_map[1:]
    return borders


def _draw_points(scene: np.ndarray, points: np.ndarray) -> None:
    """Colours the pixels of the points (N, P, 3) in an image (H, W, 3) BGR: from yellow, the first step, to red."""
    x, y, step = np.floor(points.reshape(-1, 3)).astype(int).T
    is_inside = (x >= 0) & (x < scene.shape[1]) & (y >= 0) & (y < scene.shape[0])
    for number in np.unique(step):
        own = is_inside & (step == number)
        green = round(255 * (1 - (number - 1) / max(step.max() - 1, 1)))
        scene[y[own], x[own]] = (0, green, 255)


def _corner_pixels(boxes: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) xyxy -> the first and the last pixel that each reaches, (N, 4), between which OpenCV draws."""
    first = np.floor(boxes[:, :2])
    return np.concatenate([first, np.maximum(np.ceil(boxes[:, 2:]) - 1, first)], axis=1)


def montage(maps: np.ndarray, per_side: int, image_size: tuple[int, int]) -> np.ndarray:
    """The first maps (N, H, W), from 0 to 1, as heat maps in a square of `per_side` x `per_side`, row by row.

    -> (h, w, 3) uint8 RGB of about `image_size`; where there are fewer maps the rest is empty.
    """
    height, width = (max(side // per_side, 1) for side in image_size)
    grid = np.zeros((per_side, height, per_side, width), np.uint8)
    for index, heat in enumerate(maps[: per_side**2]):
        small = cv2.resize(heat, (width, height), interpolation=cv2.INTER_AREA)
        grid[index // per_side, :, index % per_side] = np.rint(255 * np.clip(small, 0, 1))
    coloured = cv2.applyColorMap(grid.reshape(per_side * height, per_side * width), cv2.COLORMAP_JET)
    return np.ascontiguousarray(coloured[:, :, ::-1])
