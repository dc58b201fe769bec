"""Which anchors and which regions of an image train, in NumPy.

What is drawn for an anchor depends on the image's seed and the anchor's number alone, and what is drawn for a region on
the anchor that it comes from: one proposal more, by a difference in rounding, changes nothing for the others.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from common.box_coder import encode
from common.boxes import side_offset
from common.families.mask_rcnn.balancing import sample_balanced
from common.families.mask_rcnn.detection import WEIGHTS
from common.families.mask_rcnn.geometry import grids, make_anchors
from common.families.mask_rcnn.proposals import ANCHOR_WEIGHTS, Proposals
from common.families.mask_rcnn.settings import MaskRcnnSettings
from common.families.mask_rcnn.targets import label_anchors, label_regions
from common.training.randomness import hash_numbers

# Where the numbers of regions begin, and of objects that stand behind them; no image has as many anchors.
_REGIONS, _OBJECTS = 1 << 40, 1 << 41


def make_anchor_targets(
    boxes: np.ndarray, image_size: tuple[int, int], padded: tuple[int, int], settings: MaskRcnnSettings, seed: int
) -> dict[str, np.ndarray]:
    """Objects (G, 4) of an image (height, width) in a batch of padded (height, width) -> what its anchors train on.

    anchor_rows (S,) int32, counted over all maps, anchor_labels (S,) int32 1 or 0, anchor_targets (S, 4): the offsets
    that positive ones are to reach; S is `losses.anchors_per_image`, and label -1 fills up.
    """
    losses, offset = settings.losses, side_offset(settings.convention)
    places = _all_anchors(settings, padded)
    labels, matched = label_anchors(places, boxes, image_size, settings)
    keys = hash_numbers(seed, np.arange(len(places)))
    positive, negative = sample_balanced(labels, keys, losses.anchors_per_image, losses.positive_anchors)
    used = len(positive) + len(negative)
    found = {
        "anchor_rows": np.zeros(losses.anchors_per_image, np.int32),
        "anchor_labels": np.full(losses.anchors_per_image, -1, np.int32),
        "anchor_targets": np.zeros((losses.anchors_per_image, 4), np.float32),
    }
    found["anchor_rows"][:used] = np.concatenate([positive, negative])
    found["anchor_labels"][:used] = labels[found["anchor_rows"][:used]]
    found["anchor_targets"][: len(positive)] = encode(
        boxes[matched[positive]], places[positive], ANCHOR_WEIGHTS, offset
    )
    return found


@lru_cache(maxsize=8)
def _all_anchors(settings: MaskRcnnSettings, padded: tuple[int, int]) -> np.ndarray:
    """(P, 4), of all maps one after the other."""
    return np.concatenate(make_anchors(settings, padded, grids(settings, padded)))


@dataclass(frozen=True)
class Regions:
    """An image's sampled regions, the positive ones first."""

    boxes: np.ndarray  # (R, 4) xyxy
    labels: np.ndarray  # (R,) int32: columns
    targets: np.ndarray  # (R, 4): the offsets that positive ones are to reach
    objects: np.ndarray  # (K,): the object of each of the positive ones


def sample_regions(
    proposals: Proposals, boxes: np.ndarray, columns: np.ndarray, settings: MaskRcnnSettings, seed: int
) -> Regions:
    """Among an image's proposals and the boxes (G, 4) of its objects, whose columns are (G,)."""
    losses = settings.losses
    regions = np.concatenate([proposals.boxes, boxes]).astype(np.float32)
    numbers = np.concatenate([_REGIONS + proposals.rows.astype(np.int64), _OBJECTS + np.arange(len(boxes))])
    labels, matched = label_regions(regions, boxes, columns, settings)
    keys = hash_numbers(seed, numbers)
    chosen = sample_balanced((matched >= 0).astype(np.int32), keys, losses.regions_per_image, losses.positive_regions)
    rows, objects = np.concatenate(chosen), matched[chosen[0]]
    targets = np.zeros((len(rows), 4), np.float32)
    targets[: len(objects)] = encode(boxes[objects], regions[chosen[0]], WEIGHTS, side_offset(settings.convention))
    return Regions(regions[rows], labels[rows], targets, objects)
