"""The maps, strides, anchors and head sizes that follow from a variant's settings and an image's size alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.families.mask_rcnn.anchors import pyramid_anchors
from common.families.mask_rcnn.settings import MaskRcnnSettings

_C4 = 4


def map_names(settings: MaskRcnnSettings) -> list[str]:
    """The names of the maps with anchors, the finest first."""
    if settings.network.fpn:
        return [f"p{level}" for level in range(2, 2 + len(settings.rpn.anchor_sizes))]
    return [f"c{_C4}"]


def strides(settings: MaskRcnnSettings) -> list[int]:
    """Pixels from one cell of a map to the next, for each of `map_names`."""
    return [2 ** int(name[1:]) for name in map_names(settings)]


def grids(settings: MaskRcnnSettings, padded: tuple[int, int]) -> list[tuple[int, int]]:
    """(height, width) of each of `map_names` for a padded image of (height, width)."""
    return [tuple(-(-side // stride) for side in padded) for stride in strides(settings)]


def make_anchors(
    settings: MaskRcnnSettings, padded: tuple[int, int], grids: Sequence[tuple[int, int]]
) -> list[np.ndarray]:
    """One (h * w * A, 4) xyxy a map; padded, grids: (height, width) of the padded image and of each map."""
    rpn = settings.rpn
    return pyramid_anchors(settings.rules, padded, grids, strides(settings), rpn.anchor_sizes, rpn.anchor_ratios)


@dataclass(frozen=True)
class HeadOutputs:
    """The number of channels that each head gives for a region, or for a cell of its mask."""

    classes: int
    deltas: int
    masks: int


def mask_side(settings: MaskRcnnSettings) -> int:
    """The number of cells along a side of a region's mask; of C4's heads one halves the size, the other doubles it."""
    return 2 * settings.network.mask_size if settings.network.fpn else settings.network.box_size


def head_outputs(settings: MaskRcnnSettings) -> HeadOutputs:
    """The heads' channels; only a background that comes first has offsets and a mask, which are not used."""
    count = settings.num_classes
    return HeadOutputs(count + 1, 4 * (settings.first_label + count), settings.first_label + count)
