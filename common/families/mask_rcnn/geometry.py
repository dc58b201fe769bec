"""What follows from a variant's settings and an image's size alone: maps, strides, anchors, sizes of the heads."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.families.mask_rcnn.anchors import pyramid_anchors
from common.families.mask_rcnn.settings import MaskRcnnSettings

_C4 = 4


def map_names(settings: MaskRcnnSettings) -> list[str]:
    """The maps with anchors, finest first."""
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
    levels = strides(settings)
    return pyramid_anchors(settings.convention, padded, grids, levels, rpn.anchor_sizes, rpn.anchor_ratios)


@dataclass(frozen=True)
class HeadOutputs:
    """How many numbers the heads give for a region, or for a cell of its mask."""

    classes: int
    deltas: int
    masks: int


def mask_side(settings: MaskRcnnSettings) -> int:
    """Cells of a region's mask, a side; of C4's heads one halves the size and the other doubles it."""
    return 2 * settings.network.mask_size if settings.network.fpn else settings.network.box_size


def head_outputs(settings: MaskRcnnSettings) -> HeadOutputs:
    """A background that comes first has its own offsets and its own mask, unused; one that comes last has none."""
    count = settings.num_classes
    with_background = count + 1 if settings.network.background == "first" else count
    return HeadOutputs(count + 1, 4 * with_background, with_background)
