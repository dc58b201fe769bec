"""The labels and targets of one image's anchors and regions, in NumPy.

A label says as what a box may be sampled, not that it is; `sampling.py` samples.
"""

import numpy as np

from common import kernels, numpy_ops
from common.boxes import pairwise_iou
from common.families.mask_rcnn.anchors import inside_image, of_own_cells
from common.families.mask_rcnn.conventions import Convention
from common.families.mask_rcnn.masks import polygons_in_box
from common.families.mask_rcnn.matching import BACKGROUND, BETWEEN, match_by_threshold
from common.families.mask_rcnn.outlines import Outline
from common.families.mask_rcnn.settings import MaskRcnnSettings

# The sum of a cell's samples may lose so much by rounding; half of a cell is enough all the same.
_ROUNDING = 1e-6


def label_anchors(
    anchors: np.ndarray, boxes: np.ndarray, image_size: tuple[int, int], settings: MaskRcnnSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Anchors (P, 4) and objects (G, 4) -> labels (P,) 1, 0 or -1 (not used), and matches as `match_by_threshold`'s.

    Of anchors that are not used matches mean nothing.
    """
    losses, rules = settings.losses, settings.rules
    used = _used_anchors(anchors, image_size, settings)
    matching = np.ones_like(used) if rules.unused_anchors_match else used
    matched = np.full(len(anchors), BETWEEN, np.int32)
    overlaps = pairwise_iou(boxes, anchors[matching], rules.offset)
    thresholds = losses.rpn_negative_iou, losses.rpn_positive_iou
    matched[matching] = match_by_threshold(overlaps, *thresholds, rules.low_quality_anchors, rules.claimed_by)
    labels = np.where(matched >= 0, 1, np.where(matched == BACKGROUND, 0, -1)).astype(np.int32)
    labels[~used] = -1
    return labels, matched


def _used_anchors(anchors: np.ndarray, image_size: tuple[int, int], settings: MaskRcnnSettings) -> np.ndarray:
    """(P,) bool: which of the anchors (P, 4) train for an image of this (height, width) without padding."""
    if settings.rules.anchors_used == "inside":
        return inside_image(anchors, image_size)
    if settings.rules.anchors_used == "of own cells":
        return of_own_cells(anchors, image_size, settings.preprocessing.pad_multiple)
    return np.ones(len(anchors), bool)


def label_regions(
    regions: np.ndarray, boxes: np.ndarray, box_labels: np.ndarray, settings: MaskRcnnSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Regions (R, 4), objects (G, 4) and their labels (G,) -> each region's label (R,) int32 and object (R,).

    A region without an object has the background's label and a negative object, as `match_by_threshold` gives it.
    """
    rules, threshold = settings.rules, settings.losses.positive_iou
    overlaps = pairwise_iou(boxes, regions, rules.offset)
    matched = match_by_threshold(overlaps, threshold, threshold, rules.low_quality_regions, rules.claimed_by)
    labels = np.full(len(regions), settings.background_label, np.int32)
    labels[matched >= 0] = box_labels[matched[matched >= 0]]
    return labels, matched


def draw_polygon_targets(
    polygons: list[list[np.ndarray]], boxes: np.ndarray, image_size: tuple[int, int], size: int, rules: Convention
) -> np.ndarray:
    """Each box's object as polygons, and the boxes (K, 4) -> (K, size, size) bool: the object as the box shows it."""
    if rules.moves_target_boxes:
        height, width = image_size
        corners = np.clip(boxes[:, :2], 0, [width - 1, height - 1])
        boxes = np.concatenate([corners, corners + boxes[:, 2:] - boxes[:, :2]], axis=1)
    drawn = np.zeros((len(boxes), size, size), bool)
    for target, parts, box in zip(drawn, polygons, boxes, strict=True):
        target[:] = polygons_in_box(parts, box, size)
    return drawn


def make_mask_targets(
    outlines: list[Outline], boxes: np.ndarray, image_size: tuple[int, int], size: int, rules: Convention
) -> np.ndarray:
    """Each box's object, and the boxes (K, 4) -> (K, size, size) float32 between 0 and 1."""
    targets = np.zeros((len(boxes), size, size), np.float32)
    rows_of: dict[int, list[int]] = {}  # the boxes of one object are worked out together
    for row, outline in enumerate(outlines):
        rows_of.setdefault(id(outline), []).append(row)
    for rows in rows_of.values():
        outline, seen = outlines[rows[0]], boxes[rows]
        if outline.bitmap is None:
            polygons = [list(outline.polygons)] * len(rows)
            targets[rows] = draw_polygon_targets(polygons, seen, image_size, size, rules)
            continue
        seen = seen - np.tile(np.float32(outline.corner), 2)
        soft = pool_bitmap_targets(outline.bitmap[None], np.zeros(len(rows)), seen, size, rules)
        targets[rows] = soft if rules.soft_targets else soft >= 0.5 - _ROUNDING
    return targets


def pool_bitmap_targets(
    masks: np.ndarray, objects: np.ndarray, boxes: np.ndarray, size: int, rules: Convention
) -> np.ndarray:
    """Masks (G, H, W), each box's object (K,) and the boxes (K, 4) -> (K, size, size) float32 between 0 and 1.

    Each number is the share of a cell that the object covers.
    """
    rois = np.concatenate([objects[:, None].astype(np.float32), boxes], axis=1)
    bitmaps = masks[:, None].astype(np.float32)
    return _roi_align(bitmaps, rois.astype(np.float32), size, rules.target_samples, rules.aligned_targets)[:, 0]


def _roi_align(x: np.ndarray, rois: np.ndarray, size: int, samples: int, aligned: bool) -> np.ndarray:
    """RoIAlign of float32 between 0 and 1 at scale 1 by the compiled kernel; NumPy's takes fifty times as long."""
    library = kernels.library()
    if library is None:
        return numpy_ops.roi_align(x, rois, (size, size), 1.0, samples, aligned)
    x, rois = np.ascontiguousarray(x), np.ascontiguousarray(rois)
    out = np.empty((len(rois), x.shape[1], size, size), np.float32)
    shape = kernels.int64s(len(rois), *x.shape, size, size)
    library.triseg_roi_align(x.ctypes.data, rois.ctypes.data, shape, 1.0, samples, aligned, out.ctypes.data)
    return np.minimum(out, 1.0)  # rounded weights of samples add up to a little more, or less
