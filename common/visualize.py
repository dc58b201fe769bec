"""Drawing instances onto their image."""

from collections.abc import Sequence

import numpy as np
import supervision as sv

from common.results import Instances


def draw(image: np.ndarray, instances: Instances, class_names: Sequence[str]) -> np.ndarray:
    """A copy of `image` (H, W, 3) uint8 RGB with masks, boxes, names and scores; a class has one colour always."""
    # supervision paints in OpenCV's order of channels.
    scene = np.ascontiguousarray(image[:, :, ::-1])
    if len(instances):
        size = (image.shape[1], image.shape[0])
        scale, thickness = sv.calculate_optimal_text_scale(size), sv.calculate_optimal_line_thickness(size)
        found = sv.Detections(
            xyxy=instances.boxes,
            mask=instances.masks,
            confidence=instances.scores,
            class_id=instances.labels.astype(int),
        )
        texts = [
            f"{class_names[label]} {score:.2f}" for label, score in zip(instances.labels, instances.scores, strict=True)
        ]
        scene = sv.MaskAnnotator(opacity=0.45).annotate(scene, found)
        scene = sv.BoxAnnotator(thickness=thickness).annotate(scene, found)
        labels = sv.LabelAnnotator(text_scale=scale, text_thickness=max(thickness // 2, 1), text_padding=2)
        scene = labels.annotate(scene, found, texts)
    return np.ascontiguousarray(scene[:, :, ::-1])
