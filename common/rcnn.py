"""The half of the two-stage models that is not network, on the array contract: pooling regions from a pyramid."""

import math

from common.array import Array, namespace
from common.boxes import Family, area

# What each family adds within and behind the logarithm, so that a side of exactly 224 stays on its level.
_EPSILONS = {"maskrcnn_benchmark": (1e-6, 0.0), "torchvision": (0.0, 1e-6), "detectron2": (1e-8, 0.0)}


def pyramid_levels(boxes: Array, family: Family, finest: int = 2, coarsest: int = 5) -> Array:
    """(K, 4) xyxy -> (K,) int32: the position in the list of maps, finest first, from which each box is pooled."""
    xp = namespace(boxes)
    inner, outer = _EPSILONS[family]
    sides = xp.sqrt(area(boxes, offset=1.0 if family == "maskrcnn_benchmark" else 0.0))
    levels = xp.floor(4.0 + xp.log(sides / 224.0 + inner) / math.log(2.0) + outer)
    return xp.astype(xp.clip(levels, finest, coarsest) - finest, "int32")


def pool_pyramid(
    features: list[Array],
    scales: list[float],
    rois: Array,
    levels: Array,
    output_size: tuple[int, int],
    sampling_ratio: int,
    aligned: bool,
) -> Array:
    """Maps (N, C, h, w), finest first, and rois (K, 5) image index, x1, y1, x2, y2 -> (K, C, *output_size)"""
    xp = namespace(rois)
    pooled, positions = [], []
    for level, (feature, scale) in enumerate(zip(features, scales, strict=True)):
        chosen = xp.nonzero(levels == level)
        pooled.append(xp.roi_align(feature, xp.take(rois, chosen), output_size, scale, sampling_ratio, aligned))
        positions.append(chosen)
    order = xp.argsort(xp.concatenate(positions))
    return xp.take(xp.concatenate(pooled), order)
