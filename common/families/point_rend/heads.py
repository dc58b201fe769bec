"""PointRend's masks: a coarse one of each region, and point by point a finer one.

Both heads read the pyramid's finest map at points of the region, without RoIAlign. Rows are the regions of one image
after the other, and `counts` says how many each image has.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from common.array import Array, namespace
from common.families.mask_rcnn.detection import Detections
from common.families.mask_rcnn.heads import FILLER_BOX, RegionMasks, fill_up, join_rois
from common.families.mask_rcnn.losses import select_class
from common.families.point_rend.points import grid_points, read_map, to_image
from common.families.point_rend.settings import PointRendSettings
from common.points import read_masks
from common.upsampling import double_from_corners


class Network(Protocol):
    """The part of a network that the masks need."""

    settings: PointRendSettings

    def coarse_head(self, pooled: Array) -> Array: ...
    def point_head(self, fine: Array, coarse: Array) -> Array: ...


def run_coarse(network: Network, maps: list[Array], boxes: Array, counts: Sequence[int]) -> dict[str, Array]:
    """Runs the coarse head on regions (K, 4) xyxy: coarse_pooled (K, C, s, s), coarse_logits (K, outputs, m, m)."""
    xp, side = namespace(boxes), network.settings.network.mask_size
    points = xp.asarray(grid_points(side)[None], like=boxes)
    pooled = read_map(maps[0], to_image(points, boxes), counts)
    pooled = xp.reshape(pooled, (*pooled.shape[:2], side, side))
    return {"coarse_pooled": pooled, "coarse_logits": network.coarse_head(pooled)}


def run_points(
    network: Network, maps: list[Array], boxes: Array, counts: Sequence[int], points: Array, coarse: Array
) -> dict[str, Array]:
    """Runs the point head at points (K, P, 2) of regions (K, 4) xyxy, whose coarse logits are (K, outputs, m, m).

    Returns point_fine (K, C, P), which is read from the map, and point_logits (K, outputs, P).
    """
    fine = read_map(maps[0], to_image(points, boxes), counts)
    return {"point_fine": fine, "point_logits": network.point_head(fine, read_masks(coarse, points))}


@dataclass(frozen=True)
class Refinement:
    """A step of the subdivision: the logits (K, s, s) of each region's class, and the cells (K, P) computed anew.

    chosen: None in the first step, which computes all cells.
    """

    logits: Array
    chosen: Array | None


def subdivide(
    network: Network, maps: list[Array], boxes: Array, counts: Sequence[int], coarse: Array, labels: Array
) -> Iterator[Refinement]:
    """The masks of regions (K, 4) xyxy of the classes (K,), from the first grid to the last.

    coarse (K, outputs, m, m): the coarse logits, from which the point head reads in every step. Of the first grid all
    cells are computed. Then the sides are doubled, and of the cells those whose logits are nearest to 0 are computed
    anew. Of other classes' logits nothing is needed for that.
    """
    xp, settings = namespace(boxes), network.settings
    count = boxes.shape[0]

    def compute(points: Array) -> Array:
        return select_class(run_points(network, maps, boxes, counts, points, coarse)["point_logits"], labels)

    first, *others = settings.mask_sides()
    points = xp.broadcast_to(xp.asarray(grid_points(first)[None], like=boxes), (count, first**2, 2))
    logits = xp.reshape(compute(points), (count, first, first))
    yield Refinement(logits, None)
    for side in others:
        coarser = logits[:, None]
        from_corners = settings.subdivision.measured_from == "corners"
        finer = double_from_corners(coarser) if from_corners else xp.resize(coarser, (side, side))
        flat = xp.reshape(finer, (count, side**2))
        _, chosen = xp.topk(-xp.abs(flat), min(settings.subdivision.points, side**2))
        centres = xp.take(xp.asarray(grid_points(side), like=boxes), xp.reshape(chosen, (-1,)))
        refined = compute(xp.reshape(centres, (*chosen.shape, 2)))
        logits = xp.reshape(xp.put_along_axis(flat, chosen, refined, 1), (count, side, side))
        yield Refinement(logits, chosen)


def find_masks(network: Network, maps: list[Array], found: list[Detections]) -> list[RegionMasks]:
    """The masks of each image's detections, and the points that each step of the subdivision chose.

    In the variant `mask` every image has `max_detections` rows, and those behind its own are dropped at the end.
    """
    settings, xp = network.settings, namespace(maps[0])
    own = [len(each.boxes) for each in found]
    if not sum(own):
        side = settings.mask_sides()[0]
        return [RegionMasks(np.zeros((0, side, side), np.float32), np.zeros((0, 0, 3), np.float32)) for _ in found]
    counts = [settings.detection.max_detections] * len(found) if settings.variant == "mask" else own
    boxes = [fill_up(each.boxes, count, FILLER_BOX) for each, count in zip(found, counts, strict=True)]
    labels = [fill_up(each.labels, count, settings.first_label) for each, count in zip(found, counts, strict=True)]
    regions = xp.asarray(join_rois(boxes)[:, 1:], like=maps[0])
    classes = xp.asarray(np.concatenate(labels), like=maps[0])
    coarse = run_coarse(network, maps, regions, counts)["coarse_logits"]
    first, *steps = subdivide(network, maps, regions, counts, coarse, classes)
    masks = xp.to_numpy(xp.sigmoid([first, *steps][-1].logits))
    ends = np.cumsum(counts)[:-1]
    of_images = zip(np.split(masks, ends), np.split(_points_of(steps, len(masks)), ends), own, strict=True)
    return [RegionMasks(masks[:count], points[:count]) for masks, points, count in of_images]


def _points_of(steps: Sequence[Refinement], count: int) -> np.ndarray:
    """The cells' centres that each step chose for the regions: (K, P, 3) float32, with the step's number, from 1."""
    points = [np.zeros((count, 0, 3), np.float32)]
    for number, step in enumerate(steps, start=1):
        chosen = namespace(step.chosen).to_numpy(step.chosen)
        centres = grid_points(step.logits.shape[1])[chosen]
        points.append(np.concatenate([centres, np.full((*chosen.shape, 1), number, np.float32)], axis=-1))
    return np.concatenate(points, axis=1)
