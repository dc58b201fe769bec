"""Pooling regions from one map or from a pyramid, on the array contract."""

import math

from common.array import Array, namespace
from common.boxes import area
from common.families.mask_rcnn.conventions import Convention
from common.families.mask_rcnn.geometry import strides
from common.families.mask_rcnn.settings import MaskRcnnSettings


def pyramid_levels(boxes: Array, rules: Convention, finest: int = 2, coarsest: int = 5) -> Array:
    """(K, 4) xyxy -> (K,) int32: the index, in the list of maps with the finest first, of the map that serves each box.

    The level is floor(4 + log2(sqrt(area) / 224 + inner) + outer), with the convention's `level_epsilons`.
    """
    xp = namespace(boxes)
    inner, outer = rules.level_epsilons
    sides = xp.sqrt(area(boxes, rules.offset))
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
    """Maps (N, C, h, w), the finest first, and rois (K, 5) image index, x1, y1, x2, y2 -> (K, C, *output_size)

    levels (K,): the index of each roi's map; scales: each map's cells a pixel.
    """
    xp = namespace(rois)
    pooled, positions = [], []
    for level, (feature, scale) in enumerate(zip(features, scales, strict=True)):
        rows = xp.nonzero(levels == level)
        pooled.append(xp.roi_align(feature, xp.take(rois, rows), output_size, scale, sampling_ratio, aligned))
        positions.append(rows)
    order = xp.argsort(xp.concatenate(positions))
    return xp.take(xp.concatenate(pooled), order)


def pool(features: list[Array], rois: Array, settings: MaskRcnnSettings, size: int) -> Array:
    """The maps of `map_names` and rois (K, 5) image index, x1, y1, x2, y2 -> (K, C, size, size)"""
    network = settings.network
    scales = [1 / stride for stride in strides(settings)]
    if not network.fpn:
        xp = namespace(features[0])
        return xp.roi_align(features[0], rois, (size, size), scales[0], network.sampling_ratio, network.aligned)
    levels = pyramid_levels(rois[:, 1:], settings.rules)
    # Anchors have one map more than regions, the coarsest.
    return pool_pyramid(features[:-1], scales[:-1], rois, levels, (size, size), network.sampling_ratio, network.aligned)
