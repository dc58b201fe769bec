"""Prediction: from a batch of images to the instances in them."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from common.array import Array
from common.boxes import with_border
from common.families.mask_rcnn.detection import Detections, to_original
from common.families.mask_rcnn.geometry import make_anchors
from common.families.mask_rcnn.heads import Network, RegionMasks, find_boxes, find_masks
from common.families.mask_rcnn.masks import paste_binary
from common.families.mask_rcnn.proposals import Proposals, propose
from common.families.mask_rcnn.settings import MaskRcnnSettings
from common.results import Instances

FindBoxes = Callable[[Network, list[Array], list[Proposals], list[tuple[int, int]]], list[Detections]]
FindMasks = Callable[[Network, list[Array], list[Detections]], list[RegionMasks]]


def find_instances(
    network: Network,
    image: Array,
    inputs: dict[str, np.ndarray],
    score_threshold: float = 0.0,
    find_boxes: FindBoxes = find_boxes,
    find_masks: FindMasks = find_masks,
) -> list[Instances]:
    """Each image's instances in its own pixels, the best first, from images (N, 3, H, W).

    inputs: image_size (N, 2), height and width without the padding, and original_size (N, 2), those of the image
    itself.
    """
    settings = network.settings
    rules, rpn = settings.rules, settings.rpn
    sizes, originals = ([tuple(size) for size in inputs[f"{kind}_size"].tolist()] for kind in ("image", "original"))
    maps = network.features(image)
    logits, deltas = network.rpn(maps)
    anchors = make_anchors(settings, tuple(image.shape[2:]), [tuple(each.shape[2:]) for each in maps])
    proposals = propose(logits, deltas, anchors, sizes, rules, rpn, rpn.inference)
    found = [_sort_by_score(each, score_threshold) for each in find_boxes(network, maps, proposals, sizes)]
    moved = [to_original(each, *size, settings) for each, *size in zip(found, sizes, originals, strict=True)]
    # A detection that vanished when it was moved needs no mask.
    found = [each.select(left.rows) for each, left in zip(found, moved, strict=True)]
    masks = find_masks(network, maps, found)
    return [instances_of(*each, settings) for each in zip(moved, masks, originals, strict=True)]


def _sort_by_score(found: Detections, score_threshold: float) -> Detections:
    """The detections above the threshold, the best first; from here on `rows` counts the detections themselves."""
    order = np.argsort(-found.scores, kind="stable")
    chosen = found.select(order[found.scores[order] > score_threshold])
    return replace(chosen, rows=np.arange(len(chosen.rows), dtype=np.int32))


def instances_of(
    found: Detections, masks: RegionMasks, image_size: tuple[int, int], settings: MaskRcnnSettings
) -> Instances:
    """Detections in an image's own pixels, whose size is (height, width), and their masks -> instances."""
    pasted = paste_binary(masks.probabilities, found.boxes, image_size, settings.rules)
    labels = found.labels.astype(np.int64) - settings.first_label
    boxes = with_border(found.boxes, settings.rules.result_offset)
    instances = Instances(image_size, boxes, found.scores, labels, pasted)
    points = None if masks.points is None else _move_points(masks.points, found.boxes)
    return replace(instances, probabilities=masks.probabilities, probability_boxes=found.boxes, points=points)


def _move_points(points: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Points (K, P, 3) in 0..1 of the boxes (K, 4) xyxy -> in the pixels of the boxes; the steps stay."""
    moved = boxes[:, None, :2] + points[..., :2] * (boxes[:, None, 2:] - boxes[:, None, :2])
    return np.concatenate([moved, points[..., 2:]], axis=-1).astype(np.float32)
