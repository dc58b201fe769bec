"""Sampling the anchors and the regions of an image that train, in NumPy.

What is drawn for an anchor depends on the image's seed and the anchor's number alone, and what is drawn for a region on
the anchor that it comes from: one proposal more, by a difference in rounding, changes nothing for the others.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from common.box_coder import encode
from common.families.mask_rcnn.balancing import sample_balanced
from common.families.mask_rcnn.geometry import grids, make_anchors
from common.families.mask_rcnn.proposals import Proposals
from common.families.mask_rcnn.settings import MaskRcnnSettings
from common.families.mask_rcnn.targets import label_anchors, label_regions
from common.training.randomness import hash_numbers

# Where the numbers of regions begin, and of objects that stand behind them; no image has as many anchors.
_REGIONS, _OBJECTS = 1 << 40, 1 << 41


def make_anchor_targets(
    boxes: np.ndarray, image_size: tuple[int, int], padded: tuple[int, int], settings: MaskRcnnSettings, seed: int
) -> dict[str, np.ndarray]:
    """Samples the anchors that train for the objects (G, 4) of an image (height, width), in a batch padded to a size.

    Returns anchor_rows (S,) int32, counted over all maps, anchor_labels (S,) int32 1 or 0, and anchor_targets (S, 4),
    the offsets that positive ones are to reach. S is `losses.anchors_per_image`, and label -1 fills up.
    """
    losses, rules = settings.losses, settings.rules
    anchors = _all_anchors(settings, padded)
    labels, matched = label_anchors(anchors, boxes, image_size, settings)
    keys = hash_numbers(seed, np.arange(len(anchors)))
    positive, negative = sample_balanced(labels, keys, losses.anchors_per_image, losses.positive_anchors)
    used = len(positive) + len(negative)
    sampled = {
        "anchor_rows": np.zeros(losses.anchors_per_image, np.int32),
        "anchor_labels": np.full(losses.anchors_per_image, -1, np.int32),
        "anchor_targets": np.zeros((losses.anchors_per_image, 4), np.float32),
    }
    sampled["anchor_rows"][:used] = np.concatenate([positive, negative])
    sampled["anchor_labels"][:used] = labels[sampled["anchor_rows"][:used]]
    sampled["anchor_targets"][: len(positive)] = encode(
        boxes[matched[positive]], anchors[positive], rules.anchor_weights, rules.offset
    )
    return sampled


@lru_cache(maxsize=8)
def _all_anchors(settings: MaskRcnnSettings, padded: tuple[int, int]) -> np.ndarray:
    """The anchors (P, 4) of all maps, one after the other."""
    return np.concatenate(make_anchors(settings, padded, grids(settings, padded)))


@dataclass(frozen=True)
class Regions:
    """An image's sampled regions, the positive ones first."""

    boxes: np.ndarray  # (R, 4) xyxy
    labels: np.ndarray  # (R,) int32
    targets: np.ndarray  # (R, 4): the offsets that positive ones are to reach
    objects: np.ndarray  # (K,): the object of each of the positive ones
    rows: np.ndarray  # (R,): the anchor or the object that each comes from
    of_objects: np.ndarray  # (R,) bool: whether it is an object's own box

    @property
    def numbers(self) -> np.ndarray:
        """(K,): a number of each positive region, on which depends what is drawn for it."""
        positive = slice(len(self.objects))
        return _number(self.rows[positive], self.of_objects[positive])


def sample_regions(
    proposals: Proposals, boxes: np.ndarray, box_labels: np.ndarray, settings: MaskRcnnSettings, seed: int
) -> Regions:
    """Samples the regions that train among an image's proposals and, behind them, its objects' own boxes (G, 4).

    box_labels (G,): the objects' labels.
    """
    losses, rules = settings.losses, settings.rules
    regions = np.concatenate([proposals.boxes, boxes]).astype(np.float32)
    origins = np.concatenate([proposals.rows, np.arange(len(boxes))]).astype(np.int64)
    of_objects = np.arange(len(regions)) >= len(proposals.boxes)
    if rules.low_quality_regions:  # which objects' own boxes would all take
        labels, matched = label_regions(proposals.boxes, boxes, box_labels, settings)
        labels = np.concatenate([labels, box_labels])
        matched = np.concatenate([matched, np.arange(len(boxes), dtype=np.int32)])
    else:
        labels, matched = label_regions(regions, boxes, box_labels, settings)
    keys = hash_numbers(seed, _number(origins, of_objects))
    is_positive = (matched >= 0).astype(np.int32)
    positive, negative = sample_balanced(is_positive, keys, losses.regions_per_image, losses.positive_regions)
    rows, objects = np.concatenate([positive, negative]), matched[positive]
    targets = np.zeros((len(rows), 4), np.float32)
    targets[: len(objects)] = encode(boxes[objects], regions[positive], rules.region_weights, rules.offset)
    return Regions(regions[rows], labels[rows], targets, objects, origins[rows], of_objects[rows])


def _number(rows: np.ndarray, of_objects: np.ndarray) -> np.ndarray:
    """The numbers (R,) that regions are told apart by, from their anchors or objects (R,)."""
    return np.where(of_objects, _OBJECTS, _REGIONS) + rows
