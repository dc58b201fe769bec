"""The second stage of a two-stage network: its heads run on regions of the maps, and what they find in the end.

`run_boxes` and `run_masks` are the two steps that training, inference and tracing share. A family that stands on Mask
R-CNN loops them or hands over steps of its own: see `train_boxes` and `train_masks` in `training.py`, and `find_boxes`
and `find_masks` here.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from common.array import Array, namespace
from common.families.mask_rcnn.detection import Detections, detect
from common.families.mask_rcnn.geometry import head_outputs, mask_side
from common.families.mask_rcnn.losses import select_class
from common.families.mask_rcnn.pooling import pool
from common.families.mask_rcnn.proposals import Proposals
from common.families.mask_rcnn.settings import MaskRcnnSettings

FILLER_BOX = (0, 0, 16, 16)  # of a row that does not count


class HeadNetwork(Protocol):
    """The part of a network that the two steps need: one box head and one mask head, with the settings of both."""

    settings: MaskRcnnSettings

    def box_head(self, pooled: Array) -> tuple[Array, Array, Array]: ...
    def mask_head(self, features: Array) -> tuple[Array, Array]: ...


class Network(HeadNetwork, Protocol):
    """A two-stage network, as every wing's `MaskRcnn` is one."""

    def __call__(self, image: Array) -> dict[str, Array]: ...
    def features(self, image: Array, branch_scales: Array | None = None) -> list[Array]: ...
    def rpn(self, features: list[Array]) -> tuple[list[Array], list[Array]]: ...


@dataclass(frozen=True)
class RegionMasks:
    """The masks of an image's detections, each in its box.

    probabilities: (K, m, m) float32. points: (K, P, 3) float32, where a mask was computed anew: x and y in 0..1 of the
    box, and the number of the step, from 1; None of a model that computes its masks as a whole.
    """

    probabilities: np.ndarray
    points: np.ndarray | None = None


def run_boxes(network: HeadNetwork, maps: list[Array], rois: Array) -> dict[str, Array]:
    """Runs the box head on the regions (K, 5) image index, x1, y1, x2, y2 of the maps.

    Returns box_pooled (K, C, s, s), box_features (K, ...), class_logits (K, C + 1) and box_deltas (K, 4 * boxes).
    """
    settings = network.settings
    pooled = pool(maps, rois, settings, settings.network.box_size)
    features, logits, deltas = network.box_head(pooled)
    return {"box_pooled": pooled, "box_features": features, "class_logits": logits, "box_deltas": deltas}


def run_masks(
    network: HeadNetwork, maps: list[Array], rois: Array, box_features: Array | None = None
) -> dict[str, Array]:
    """Runs the mask head on the regions (K, 5) image index, x1, y1, x2, y2 of the maps.

    On a pyramid the regions are pooled again. Without one, C4, the mask head takes the box head's features:
    `box_features`, where the box head has run on the same regions already, else it runs here.

    Returns mask_pooled (K, C, s, s) on a pyramid, mask_features (K, ...) and mask_logits (K, mask outputs, m, m).
    """
    settings = network.settings
    if settings.network.fpn:
        pooled = pool(maps, rois, settings, settings.network.mask_size)
        features, logits = network.mask_head(pooled)
        return {"mask_pooled": pooled, "mask_features": features, "mask_logits": logits}
    if box_features is None:
        box_features = run_boxes(network, maps, rois)["box_features"]
    features, logits = network.mask_head(box_features)
    return {"mask_features": features, "mask_logits": logits}


def find_boxes(
    network: HeadNetwork, maps: list[Array], proposals: list[Proposals], image_sizes: list[tuple[int, int]]
) -> list[Detections]:
    """Each image's detections among its proposals; image_sizes: (height, width) without padding."""
    settings = network.settings
    rois = join_rois([each.boxes for each in proposals])
    counts = [len(each.boxes) for each in proposals]
    if len(rois) == 0:
        outputs = head_outputs(settings)
        logits, deltas = np.zeros((0, outputs.classes), np.float32), np.zeros((0, outputs.deltas), np.float32)
        return detect(logits, deltas, rois[:, 1:], counts, image_sizes, settings)
    regions = namespace(maps[0]).asarray(rois, like=maps[0])
    outputs = run_boxes(network, maps, regions)
    return detect(outputs["class_logits"], outputs["box_deltas"], regions[:, 1:], counts, image_sizes, settings)


def find_masks(network: HeadNetwork, maps: list[Array], found: list[Detections]) -> list[RegionMasks]:
    """The masks of each image's detections."""
    rois = join_rois([each.boxes for each in found])
    if len(rois) == 0:
        side = mask_side(network.settings)
        return [RegionMasks(np.zeros((0, side, side), np.float32)) for _ in found]
    xp = namespace(maps[0])
    logits = run_masks(network, maps, xp.asarray(rois, like=maps[0]))["mask_logits"]
    labels = xp.asarray(np.concatenate([each.labels for each in found]), like=logits)
    masks = xp.to_numpy(xp.sigmoid(select_class(logits, labels)))
    of_images = np.split(masks, np.cumsum([len(each.boxes) for each in found])[:-1])
    return [RegionMasks(of_image) for of_image in of_images]


def join_rois(boxes: list[np.ndarray]) -> np.ndarray:
    """Boxes (K, 4) of each image -> rois (sum of K, 5) float32: image index, x1, y1, x2, y2"""
    index = np.repeat(np.arange(len(boxes), dtype=np.float32), [len(each) for each in boxes])
    return np.concatenate([index[:, None], np.concatenate(boxes)], axis=1).astype(np.float32)


def fill_up(rows: np.ndarray, count: int, value: np.ndarray | float | tuple[float, ...]) -> np.ndarray:
    """The rows (K, ...) with others of this value behind them, so that they are `count`."""
    filling = np.full((count - len(rows), *rows.shape[1:]), value, rows.dtype)
    return np.concatenate([rows, filling])
