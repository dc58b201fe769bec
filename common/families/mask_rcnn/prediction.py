"""From a batch of images to the instances in them."""

from dataclasses import replace

import numpy as np

from common.array import Array
from common.boxes import with_border
from common.families.mask_rcnn.detection import Detections, to_original
from common.families.mask_rcnn.geometry import make_anchors
from common.families.mask_rcnn.masks import paste_binary
from common.families.mask_rcnn.proposals import propose
from common.families.mask_rcnn.settings import MaskRcnnSettings
from common.families.mask_rcnn.stages import Network, find_boxes, find_masks
from common.results import Instances


def find_instances(
    network: Network, image: Array, inputs: dict[str, np.ndarray], score_threshold: float = 0.0
) -> list[Instances]:
    """An image (N, 3, H, W) -> of each its instances in its own pixels, the best first.

    inputs: image_size (N, 2), height and width without the padding, original_size (N, 2), those of the image itself.
    """
    settings = network.settings
    sizes, originals = ([tuple(size) for size in inputs[f"{kind}_size"].tolist()] for kind in ("image", "original"))
    maps = network.features(image)
    logits, deltas = network.rpn(maps)
    places = make_anchors(settings, tuple(image.shape[2:]), [tuple(each.shape[2:]) for each in maps])
    rpn = settings.rpn
    proposals = propose(logits, deltas, places, sizes, settings.convention, rpn, rpn.inference)
    found = [_best_first(each, score_threshold) for each in find_boxes(network, maps, proposals, sizes)]
    there = [to_original(each, *size, settings.convention) for each, *size in zip(found, sizes, originals, strict=True)]
    # Not all that was found need be left in the image as it was.
    found = [_chosen(each, left.rows) for each, left in zip(found, there, strict=True)]
    masks = find_masks(network, maps, found)
    return [instances_of(*each, settings) for each in zip(there, masks, originals, strict=True)]


def _best_first(found: Detections, score_threshold: float) -> Detections:
    """Above the threshold; from here on `rows` counts the detections themselves."""
    order = np.argsort(-found.scores, kind="stable")
    chosen = _chosen(found, order[found.scores[order] > score_threshold])
    return replace(chosen, rows=np.arange(len(chosen.rows), dtype=np.int32))


def _chosen(found: Detections, keep: np.ndarray) -> Detections:
    return Detections(found.boxes[keep], found.scores[keep], found.labels[keep], found.rows[keep])


def instances_of(
    found: Detections, masks: np.ndarray, image_size: tuple[int, int], settings: MaskRcnnSettings
) -> Instances:
    """Detections in an image (height, width) as it was, and their masks (K, m, m) -> instances."""
    first = 1 if settings.network.background == "first" else 0
    pasted = paste_binary(masks, found.boxes, image_size, settings.convention)
    labels = found.labels.astype(np.int64) - first
    boxes = with_border(found.boxes, settings.convention)
    whole = Instances(image_size, boxes, found.scores, labels, pasted)
    return replace(whole, probabilities=masks, probability_boxes=found.boxes)
