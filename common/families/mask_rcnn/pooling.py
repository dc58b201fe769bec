"""Pooling regions from one map or from a pyramid, on the array contract."""

import math

from common.array import Array, namespace
from common.boxes import Convention, area, side_offset
from common.families.mask_rcnn.geometry import strides
from common.families.mask_rcnn.settings import MaskRcnnSettings

# What each family adds within and behind the logarithm, so that a side of exactly 224 stays on its level.
_EPSILONS = {"maskrcnn_benchmark": (1e-6, 0.0), "torchvision": (0.0, 1e-6), "detectron2": (1e-8, 0.0)}


def pyramid_levels(boxes: Array, family: Convention, finest: int = 2, coarsest: int = 5) -> Array:
    """(K, 4) xyxy -> (K,) int32: the position in the list of maps, finest first, from which each box is pooled."""
    xp = namespace(boxes)
    inner, outer = _EPSILONS[family]
    sides = xp.sqrt(area(boxes, side_offset(family)))
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


def pool(features: list[Array], rois: Array, settings: MaskRcnnSettings, size: int) -> Array:
    """The maps of `map_names` and rois (K, 5) image index, x1, y1, x2, y2 -> (K, C, size, size)."""
    network = settings.network
    scales = [1 / stride for stride in strides(settings)]
    how = ((size, size), network.sampling_ratio, network.aligned)
    if not network.fpn:
        xp = namespace(features[0])
        return xp.roi_align(features[0], rois, how[0], scales[0], *how[1:])
    # Anchors have one map more than regions, the coarsest.
    levels = pyramid_levels(rois[:, 1:], settings.convention)
    return pool_pyramid(features[:-1], scales[:-1], rois, levels, *how)
