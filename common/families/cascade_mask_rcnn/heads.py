"""The second stage of a cascade: its box heads run one after the other, its mask heads all on the same regions."""

from dataclasses import dataclass
from functools import reduce
from typing import Protocol

import numpy as np

from common.array import Array, namespace
from common.families.cascade_mask_rcnn.settings import CascadeSettings
from common.families.mask_rcnn import heads
from common.families.mask_rcnn.detection import Detections, detect
from common.families.mask_rcnn.geometry import mask_side
from common.families.mask_rcnn.heads import RegionMasks, join_rois
from common.families.mask_rcnn.losses import select_class
from common.families.mask_rcnn.pooling import pool
from common.families.mask_rcnn.proposals import Proposals

Sizes = list[tuple[int, int]]


class Network(heads.Network, Protocol):
    """A cascade, as every wing's `CascadeMaskRcnn` is one: with a box head and a mask head for each stage."""

    settings: CascadeSettings
    box_heads: list
    mask_heads: list


@dataclass(frozen=True)
class Stage:
    """One stage of a cascade as a network with one box head and one mask head; the settings have its numbers."""

    settings: CascadeSettings
    box_head: object
    mask_head: object


def stages_of(network: Network) -> list[Stage]:
    """The stages of a cascade, in their order."""
    settings = network.settings
    return [
        Stage(settings.of_stage(number), network.box_heads[number], network.mask_heads[number])
        for number in range(len(settings.stages))
    ]


def run_boxes(stage: Stage, maps: list[Array], rois: Array) -> dict[str, Array]:
    """Runs a stage's box head on the regions (K, 5), as `common.families.mask_rcnn.heads.run_boxes` does.

    box_deltas (K, 4 * classes) has a set for each class, also where the classes share one.
    """
    outputs = heads.run_boxes(stage, maps, rois)
    if stage.settings.network.class_agnostic_boxes:
        xp, deltas, classes = namespace(rois), outputs["box_deltas"], stage.settings.num_classes
        shared = xp.broadcast_to(deltas[:, None], (deltas.shape[0], classes, 4))
        outputs["box_deltas"] = xp.reshape(shared, (deltas.shape[0], 4 * classes))
    return outputs


def refine(stage: Stage, rois: Array, logits: Array, deltas: Array, labels: Array | None, sizes: Sizes) -> Array:
    """The boxes (K, 4) that a stage makes of its regions (K, 5), through which no gradient flows.

    logits (K, C + 1), deltas (K, 4 * C): each region moves by the offsets of its label (K,). Those of the background
    move by the offsets of their most probable class, and without labels all do. The boxes are cut to the images, whose
    (height, width) are in `sizes`.
    """
    xp, classes = namespace(logits), stage.settings.num_classes
    logits, deltas = xp.stop_gradient(logits), xp.stop_gradient(deltas)
    own = xp.argmax(logits[:, :classes], 1)
    if labels is not None:
        own = xp.where(labels < classes, labels, own)
    count = rois.shape[0]
    chosen = xp.broadcast_to(own[:, None, None], (count, 1, 4))
    moves = xp.take_along_axis(xp.reshape(deltas, (count, classes, 4)), chosen, 1)[:, 0]
    boxes = stage.settings.rules.decode_regions(moves, rois[:, 1:])
    return cut_to_images(boxes, rois, sizes)


def cut_to_images(boxes: Array, rois: Array, sizes: Sizes) -> Array:
    """Boxes (K, ..., 4) of the regions (K, 5), each cut to its region's image; sizes: the images' (height, width)."""
    xp = namespace(boxes)
    edges = xp.asarray(np.float32([[width, height, width, height] for height, width in sizes]), like=boxes)
    limits = xp.take(edges, xp.astype(rois[:, 0], "int32"))
    limits = xp.reshape(limits, (limits.shape[0], *[1] * (boxes.ndim - 2), 4))
    return xp.maximum(xp.minimum(boxes, limits), 0.0)


def find_boxes(network: Network, maps: list[Array], proposals: list[Proposals], image_sizes: Sizes) -> list[Detections]:
    """Each image's detections among its proposals; image_sizes: (height, width) without padding.

    Scores come of the mean of the stages' logits, and boxes are the last stage's.
    """
    stages, rois = stages_of(network), join_rois([each.boxes for each in proposals])
    counts, settings = [len(each.boxes) for each in proposals], stages[-1].settings
    classes = settings.num_classes
    if len(rois) == 0:
        logits, deltas = np.zeros((0, classes + 1), np.float32), np.zeros((0, 4 * classes), np.float32)
        return detect(logits, deltas, rois[:, 1:], counts, image_sizes, settings)
    regions = namespace(maps[0]).asarray(rois, like=maps[0])
    runs = run_box_heads(stages, maps, regions, image_sizes)
    last = runs[-1]
    logits = mean([each["class_logits"] for each in runs])
    return detect(logits, last["box_deltas"], last["rois"][:, 1:], counts, image_sizes, settings)


def run_box_heads(stages: list[Stage], maps: list[Array], rois: Array, sizes: Sizes) -> list[dict[str, Array]]:
    """Runs the box heads on the regions (K, 5), each on what the one before made of them.

    Returns for each stage what `run_boxes` does, and its own regions, rois (K, 5).
    """
    xp, runs = namespace(rois), []
    for number, stage in enumerate(stages, start=1):
        outputs = run_boxes(stage, maps, rois)
        runs.append(outputs | {"rois": rois})
        if number < len(stages):
            boxes = refine(stage, rois, outputs["class_logits"], outputs["box_deltas"], None, sizes)
            rois = xp.concatenate([rois[:, :1], boxes], axis=1)
    return runs


def run_mask_heads(network: Network, maps: list[Array], rois: Array) -> dict[str, Array | list[Array]]:
    """Runs every mask head on the regions (K, 5): mask_pooled (K, C, s, s), and a list mask_logits (K, C, m, m)."""
    pooled = pool(maps, rois, network.settings, network.settings.network.mask_size)
    return {"mask_pooled": pooled, "mask_logits": [head(pooled)[1] for head in network.mask_heads]}


def find_masks(network: Network, maps: list[Array], found: list[Detections]) -> list[RegionMasks]:
    """The masks of each image's detections: the mean of the stages' probabilities."""
    rois = join_rois([each.boxes for each in found])
    if len(rois) == 0:
        side = mask_side(network.settings)
        return [RegionMasks(np.zeros((0, side, side), np.float32)) for _ in found]
    xp = namespace(maps[0])
    labels = xp.asarray(np.concatenate([each.labels for each in found]), like=maps[0])
    logits = run_mask_heads(network, maps, xp.asarray(rois, like=maps[0]))["mask_logits"]
    masks = xp.to_numpy(mean([xp.sigmoid(select_class(each, labels)) for each in logits]))
    return [RegionMasks(each) for each in np.split(masks, np.cumsum([len(each.boxes) for each in found])[:-1])]


def mean(arrays: list[Array]) -> Array:
    """The mean of arrays of one shape."""
    return reduce(lambda a, b: a + b, arrays) / float(len(arrays))
