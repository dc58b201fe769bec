"""The kind roi_align: the operator in its variants, and the pyramid poolers of the three families."""

from pathlib import Path
from types import ModuleType

import numpy as np

from common.array import Array
from common.families.mask_rcnn.conventions import CONVENTIONS
from common.families.mask_rcnn.pooling import pool_pyramid, pyramid_levels
from tests.goldens import golden

# name: output size, scale, sampling ratio, aligned (as the manifest's notes list them)
RUNS = {
    "a0_s2": ((7, 7), 0.25, 2, False),
    "a1_s2": ((7, 7), 0.25, 2, True),
    "a0_s0": ((7, 7), 0.25, 0, False),
    "a1_s0": ((7, 7), 0.25, 0, True),
    "a1_s0_tall": ((5, 3), 0.5, 0, True),
    "a0_s3_wide": ((2, 6), 0.125, 3, False),
    "a0_s0_14": ((14, 14), 0.0625, 0, False),
}
_CONVENTIONS = {"mb": "maskrcnn_benchmark", "tv": "torchvision", "d2": "detectron2"}
SCALES = [1 / 4, 1 / 8, 1 / 16, 1 / 32]


def roi_align(
    case: Path, framework: str, device: str, xp: ModuleType, like: Array, folder: Path
) -> dict[str, np.ndarray]:
    inputs, arrays = golden.manifest(case)["inputs"], golden.arrays(case)

    def image(name: str):
        return xp.asarray(golden.image(inputs[name]["seed"], inputs[name]["shape"]), like)

    features, weights, rois = image("features"), image("weights"), xp.asarray(arrays["in.rois"], like)
    answers = {}
    for name, run in RUNS.items():
        answers[name] = xp.to_numpy(xp.roi_align(features, rois, *run))
        if framework != "numpy" and f"{name}_grad" in golden.manifest(case)["outputs"]:
            weighed = lambda x, run=run: xp.sum(xp.roi_align(x, rois, *run) * weights)  # noqa: E731
            _, (gradient,) = xp.value_and_grad(weighed, features)
            answers[f"{name}_grad"] = xp.to_numpy(gradient)
    boxes = xp.asarray(arrays["in.level_boxes"], like)
    pyramid = [image(f"p{level}") for level in range(2, 6)]
    level_rois = xp.concatenate([xp.zeros((len(boxes), 1), like), boxes], axis=1)
    for prefix, name in _CONVENTIONS.items():
        levels = pyramid_levels(boxes, CONVENTIONS[name])
        sampling_ratio, aligned = (0, True) if prefix == "d2" else (2, False)
        pooled = pool_pyramid(pyramid, SCALES, level_rois, levels, (7, 7), sampling_ratio, aligned)
        answers[f"{prefix}_levels"], answers[f"{prefix}_pooled"] = xp.to_numpy(levels), xp.to_numpy(pooled)
    return answers
