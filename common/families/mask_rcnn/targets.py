"""What anchors and regions are trained towards, in NumPy and for one image.

Sampling is the caller's: a label says what a box may be chosen as, not that it is.
"""

import numpy as np

from common import kernels, numpy_ops
from common.boxes import Convention, pairwise_iou, side_offset
from common.families.mask_rcnn.anchors import inside_image
from common.families.mask_rcnn.masks import polygons_in_box
from common.families.mask_rcnn.matching import BACKGROUND, match_by_threshold
from common.families.mask_rcnn.outlines import Outline
from common.families.mask_rcnn.settings import MaskRcnnSettings

# What the sum of a cell's samples may lose; half of a cell is enough all the same.
_ROUNDING = 1e-6


def label_anchors(
    anchors: np.ndarray, boxes: np.ndarray, image_size: tuple[int, int], settings: MaskRcnnSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Anchors (P, 4) and objects (G, 4) -> labels (P,) 1, 0 or -1 (not used), and matches as `match_by_threshold`'s.

    maskrcnn-benchmark uses no anchor that leaves the image; an object may lose its best by that.
    """
    losses, convention = settings.losses, settings.convention
    overlaps = pairwise_iou(boxes, anchors, side_offset(convention))
    matched = match_by_threshold(overlaps, losses.rpn_negative_iou, losses.rpn_positive_iou, low_quality=True)
    labels = np.where(matched >= 0, 1, np.where(matched == BACKGROUND, 0, -1)).astype(np.int32)
    if convention == "maskrcnn_benchmark":
        labels[~inside_image(anchors, image_size)] = -1
    return labels, matched


def label_regions(
    regions: np.ndarray, boxes: np.ndarray, columns: np.ndarray, settings: MaskRcnnSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Regions (R, 4), objects (G, 4) and their columns (G,) -> each region's column (R,) int32 and object (R,).

    The originals train on the proposals and the objects' own boxes behind them.
    """
    threshold = settings.losses.positive_iou
    matched = match_by_threshold(pairwise_iou(boxes, regions, side_offset(settings.convention)), threshold, threshold)
    background = 0 if settings.network.background == "first" else settings.num_classes
    found = np.full(len(regions), background, np.int32)
    found[matched >= 0] = columns[matched[matched >= 0]]
    return found, matched


def draw_polygon_targets(
    polygons: list[list[np.ndarray]], boxes: np.ndarray, image_size: tuple[int, int], size: int, convention: Convention
) -> np.ndarray:
    """Each box's object as polygons, and the boxes (K, 4) -> (K, size, size) bool; not torchvision's way."""
    if convention == "maskrcnn_benchmark":  # moves the upper left corner into the image; the sides stay
        height, width = image_size
        corners = np.clip(boxes[:, :2], 0, [width - 1, height - 1])
        boxes = np.concatenate([corners, corners + boxes[:, 2:] - boxes[:, :2]], axis=1)
    drawn = np.zeros((len(boxes), size, size), bool)
    for target, parts, box in zip(drawn, polygons, boxes, strict=True):
        target[:] = polygons_in_box(parts, box, size)
    return drawn


def make_mask_targets(
    forms: list[Outline], boxes: np.ndarray, image_size: tuple[int, int], size: int, convention: Convention
) -> np.ndarray:
    """Each box's object, and the boxes (K, 4) -> (K, size, size) float32 between 0 and 1."""
    targets = np.zeros((len(boxes), size, size), np.float32)
    rows_of: dict[int, list[int]] = {}  # the boxes of one object are worked out together
    for row, form in enumerate(forms):
        rows_of.setdefault(id(form), []).append(row)
    for rows in rows_of.values():
        form, seen = forms[rows[0]], boxes[rows]
        if form.bitmap is None:
            targets[rows] = draw_polygon_targets([list(form.polygons)] * len(rows), seen, image_size, size, convention)
            continue
        seen = seen - np.tile(np.float32(form.corner), 2)
        soft = pool_bitmap_targets(form.bitmap[None], np.zeros(len(rows)), seen, size, convention)
        targets[rows] = soft if convention == "torchvision" else soft >= 0.5 - _ROUNDING
    return targets


def pool_bitmap_targets(
    masks: np.ndarray, objects: np.ndarray, boxes: np.ndarray, size: int, convention: Convention
) -> np.ndarray:
    """Masks (G, H, W), each box's object (K,) and the boxes (K, 4) -> (K, size, size) float32 between 0 and 1.

    torchvision trains towards these numbers, detectron2 towards whether they are >= 0.5.
    """
    rois = np.concatenate([objects[:, None].astype(np.float32), boxes], axis=1)
    bitmaps = masks[:, None].astype(np.float32)
    return _roi_align(bitmaps, rois.astype(np.float32), size, convention == "detectron2")[:, 0]


def _roi_align(x: np.ndarray, rois: np.ndarray, size: int, aligned: bool) -> np.ndarray:
    """Arrays of float32 between 0 and 1, at scale 1, by the compiled kernel: NumPy's way takes fifty times as long."""
    library = kernels.library()
    if library is None:
        return numpy_ops.roi_align(x, rois, (size, size), 1.0, 0, aligned)
    x, rois = np.ascontiguousarray(x), np.ascontiguousarray(rois)
    out = np.empty((len(rois), x.shape[1], size, size), np.float32)
    shape = kernels.int64s(len(rois), *x.shape, size, size)
    library.triseg_roi_align(x.ctypes.data, rois.ctypes.data, shape, 1.0, 0, aligned, out.ctypes.data)
    return np.minimum(out, 1.0)  # rounded weights of samples add up to a little more, or less
