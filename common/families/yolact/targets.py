"""Makes the targets of YOLACT's losses in NumPy, image by image, and joins them to batches."""

from typing import Any

import numpy as np

from common.box_coder import encode_centres
from common.boxes import pairwise_ioa, pairwise_iou, to_centres, to_corners
from common.families.yolact.geometry import BOX_WEIGHTS, Geometry
from common.families.yolact.masks import resize_binary
from common.families.yolact.matching import claim_best
from common.families.yolact.settings import YolactLosses, YolactSettings

# Numbers of objects and positives are padded to multiples of this, so that batches have few different shapes.
PADDING = 16


def make_targets(
    boxes: np.ndarray,
    labels: np.ndarray,
    crowd: np.ndarray,
    masks: np.ndarray,
    settings: YolactSettings,
    rng: np.random.Generator,
    geometry: Geometry | None = None,
) -> dict[str, np.ndarray]:
    """Makes one image's entry of a batch from its boxes (M, 4), labels (M,), crowd (M,) bool and masks (M, H, W).

    Returned by name, for P priors, O objects that are no crowds, and K positive priors whose masks train:
    box_targets: (P, 4) float32; class_targets: (P,) int32, -1 neutral, 0 background, else 1 to C;
    negatives: () int32, how many background priors train the classes;
    semantic: (C, h, w) bool; object_masks: (O, h, w) bool on the prototypes' grid;
    positive_index, positive_object, positive_box, positive_weight: (K,), (K,), (K, 4), (K,), each positive's prior, its
    object, the object's box, and the factor on its mask loss;
    positive_class, positive_rescored: (K,), with mask IoU alone: the class from 0, and 1 where it trains mask IoU.
    """
    geometry = geometry or Geometry.of(settings)
    crowds = boxes[crowd]
    boxes, labels, masks = boxes[~crowd], labels[~crowd], masks[~crowd] if crowd.any() else masks
    box_targets, class_targets, matched = match_priors(boxes, labels, crowds, geometry.priors, settings.losses)
    object_masks = resize_binary(masks, geometry.prototypes)
    semantic = np.zeros((settings.num_classes, *geometry.semantic), bool)
    for label, mask in zip(labels, resize_binary(masks, geometry.semantic), strict=True):
        semantic[label] |= mask

    positives = np.nonzero(class_targets > 0)[0]
    negatives = min(settings.losses.negatives_per_positive * len(positives), len(class_targets) - 1)
    sampled = positives
    if len(positives) > settings.losses.masks_per_image:
        sampled = np.sort(rng.permutation(positives)[: settings.losses.masks_per_image])
    owners = matched[sampled]
    sides = boxes[owners, 2:] - boxes[owners, :2]
    # The mask loss is a mean over the box's area, and the sampled positives stand for all.
    weight = len(positives) / max(len(sampled), 1) / (sides[:, 0] * sides[:, 1] * np.prod(geometry.prototypes))
    targets = {
        "box_targets": box_targets,
        "class_targets": class_targets,
        "negatives": np.int32(negatives),
        "semantic": semantic,
        "object_masks": object_masks,
        "positive_index": sampled.astype(np.int32),
        "positive_object": owners.astype(np.int32),
        "positive_box": boxes[owners].astype(np.float32),
        "positive_weight": weight.astype(np.float32),
    }
    if settings.network.mask_iou:
        large = object_masks.sum(axis=(1, 2)) > settings.losses.smallest_mask_area
        targets["positive_class"] = labels[owners].astype(np.int32)
        targets["positive_rescored"] = large[owners].astype(np.float32)
    return targets


def match_priors(
    boxes: np.ndarray, labels: np.ndarray, crowds: np.ndarray, prior_boxes: np.ndarray, settings: YolactLosses
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Matches priors (P, 4) with M objects, given by their boxes (M, 4) and labels (M,) from 0, and with crowds (N, 4).

    A prior belongs to the object with which its IoU is highest; then each object takes its best prior. Its class target
    is the object's label + 1, or with an IoU below `positive_iou` -1 (neutral), below `negative_iou` 0 (background).
    Also neutral is a prior of no object of which a share over `crowd_ioa` lies in a crowd. Returns the box targets
    (P, 4), which are the object's box encoded against the prior, the class targets (P,) and the objects (P,).
    """
    corners = to_corners(prior_boxes)
    if len(boxes):
        overlaps = pairwise_iou(boxes.astype(np.float32), corners)
        matched = overlaps.argmax(axis=0)
        overlap = np.take_along_axis(overlaps, matched[None], axis=0)[0]
        objects, claimed = claim_best(overlaps)
        matched[claimed] = objects
        overlap[claimed] = 2
        classes = (labels[matched] + 1).astype(np.int32)
        classes[overlap < settings.positive_iou] = -1
        classes[overlap < settings.negative_iou] = 0
        box_targets = encode_centres(to_centres(boxes.astype(np.float32))[matched], prior_boxes, BOX_WEIGHTS)
    else:
        matched = np.zeros(len(prior_boxes), np.int64)
        classes = np.zeros(len(prior_boxes), np.int32)
        box_targets = np.zeros_like(prior_boxes)
    if len(crowds):
        within = pairwise_ioa(corners, crowds.astype(np.float32)).max(axis=1)
        classes[(classes <= 0) & (within > settings.crowd_ioa)] = -1
    return box_targets, classes, matched


def collate(samples: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Joins samples (`image`, `image_id` and the targets) to a batch of rectangular arrays.

    Arrays of objects and positives are padded with zeros to one length; in the losses padding has weight 0.
    `normaliser.positives` and `normaliser.images` are the losses' divisors. Data-parallel ranks sum these two and their
    gradients, and so get the gradient that one process gets of the whole batch.
    """
    batch = {}
    for name in samples[0]:
        values = [np.asarray(sample[name]) for sample in samples]
        if name.startswith(("object_", "positive_")):
            longest = max(1, *(len(value) for value in values))
            padded = np.zeros((len(values), -(-longest // PADDING) * PADDING, *values[0].shape[1:]), values[0].dtype)
            for row, value in zip(padded, values, strict=True):
                row[: len(value)] = value
            batch[name] = padded
        else:
            batch[name] = np.stack(values)
    batch["normaliser.positives"] = np.float32((batch["class_targets"] > 0).sum())
    batch["normaliser.images"] = np.float32(len(samples))
    return batch
