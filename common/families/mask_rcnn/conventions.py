"""The conventions in which the originals of Mask R-CNN differ: one record, with one instance an original.

Code asks a record's fields and never for an original's name. `docs/conventions.md` shows the fields side by side.
"""

from dataclasses import dataclass
from typing import Literal

from common.array import Array
from common.box_coder import LARGEST_LOG_RATIO, decode

Weights = tuple[float, float, float, float]
# Which anchors train: all, those that lie wholly in the unpadded image, or those that stand in the image with its own
# padding, without what the batch adds to that.
AnchorsUsed = Literal["all", "inside", "of own cells"]


@dataclass(frozen=True, kw_only=True)
class Convention:
    """One original's answers to the questions that the originals answer differently."""

    # A box. What a side counts beyond x2 - x1: 1 where x2 is the last pixel inside, 0 where it is the border.
    offset: float
    clip_offset: float  # boxes are cut to 0..width - clip_offset

    # An image and its objects.
    reads_upright: bool  # a file is turned as its EXIF data says, else it is taken as it is stored
    size_rule: Literal[
        "short side", "smaller scale", "rounded scale", "both bounds", "canvas"
    ]  # see `resizing.resized_size`
    resizer: Literal["Pillow on bytes", "OpenCV on floats", "OpenCV on bytes"]
    # Which pixel a resized bitmap shows; see `resizing.find_nearest`.
    nearest_pixel: Literal["by corners", "by centres", "OpenCV's"]
    whole_boxes: bool  # a box of an annotation loses its fractions, and x2 is x1 + its width before and after
    # When images are mirrored. First: as they are read, and then changed step by step; see `views`. Before resizing:
    # bitmaps, for of everything else that is the same as after resizing.
    mirrors: Literal["first", "before resizing", "after resizing"]
    mask_source: Literal["polygons", "bitmaps"]  # polygons: where an object has them
    # When an object whose bitmap has no pixel is left out.
    drops_empty_bitmaps: Literal["never", "before resizing", "after resizing"]
    smallest_image_side: int | None  # in pixels, of the images that are trained on
    drops_ignored: bool  # annotations that are marked `ignore`, or whose area is told to be 0, do not train
    smallest_annotated_side: float | None  # a box of the file whose width or height is less does not train
    smallest_object_side: float | None  # resized boxes are cut to the image, and a side must be longer than this

    # Anchors; see `anchors.cell_anchors`.
    anchor_rounding: Literal["ratios", "corners", "none"]
    anchor_centre: Literal["middle", "corner"]  # of a cell: the middle of its pixels, or its upper left corner
    anchor_order: Literal["ratio, size", "size, ratio"]  # the first changes slowest
    anchor_distance: Literal["stride", "image over map"]  # of two cells; the latter: padded side // map side

    # Offsets of boxes from anchors and from regions; see `common/box_coder.py`.
    anchor_weights: Weights
    region_weights: Weights
    largest_log_ratio: float
    smallest_log_ratio: float | None  # none: a side may become as small as it will

    # Matching.
    anchors_used: AnchorsUsed  # unless `losses.anchors_used` is another
    unused_anchors_match: bool  # those that do not train claim objects all the same, which may lose their best one
    low_quality_anchors: bool  # each object claims the anchors that overlap it most, at any overlap
    # The same of proposals, from `losses.positive_iou` on, unless `losses.low_quality_regions` is another.
    low_quality_regions: bool
    claimed_by: Literal["itself", "last object"]  # whose a claimed box is: see `matching.match_by_threshold`

    # Proposals and detections.
    proposal_rank: Literal["probability", "logit"]  # what the best anchors of a map are chosen by
    proposal_score: Literal["probability", "logit"]  # what a proposal's score is
    proposal_threshold: bool  # `rpn.score_threshold` counts
    proposal_side: Literal["at least", "more than"]  # how long a proposal's sides are: `rpn.smallest_side`
    proposal_offset: float  # of the boxes' sides where proposals are suppressed
    suppression: Literal["one offset", "areas alone"]  # of detections; areas alone: overlaps are without the offset
    smallest_detection_side: float | None
    detection_order: Literal["class", "score"]  # class: class by class, and equals of the last score stay
    clips_to_original: bool  # detections are cut to the image's own size
    drops_outside: bool  # detections go of which no area lies in the image's own size
    result_offset: float  # what is added to the x2 and y2 of results, whose width is x2 - x1

    # Losses. The divisor of the anchors' losses: how many were sampled, or how many were to be.
    anchor_divisor: Literal["sampled", "at least one", "wanted"]  # see `losses.count_anchors`

    # Pooling. What is added to a side's quotient and to its logarithm, so that a side of exactly 224 keeps its level.
    level_epsilons: tuple[float, float]

    # Masks.
    moves_target_boxes: bool  # the upper left corner of a mask target's box is moved into the image
    aligned_targets: bool  # RoIAlign of a bitmap shifts by half a pixel
    target_samples: int  # that RoIAlign of a bitmap takes of a cell, a side; 0: as many as the cell has pixels
    soft_targets: bool  # what is pooled from a bitmap is the target itself, else whether it is at least a half
    pasting: Literal["resized", "sampled", "sampled inside"]  # see `masks.paste`
    half_is_inside: bool  # a pixel of exactly 0.5 belongs to the object

    # Initial weights; see `initial_weights.initial_weight`.
    head_weights: Literal["Kaiming", "PyTorch", "MindSpore", "Xavier"]
    mask_logits_deviation: float | None  # none: Kaiming's

    def decode_anchors(self, deltas: Array, anchors: Array) -> Array:
        """The boxes (N, 4) xyxy that offsets (N, 4) make of anchors (N, 4)."""
        return decode(
            deltas, anchors, self.anchor_weights, self.offset, self.largest_log_ratio, self.smallest_log_ratio
        )

    def decode_regions(self, deltas: Array, regions: Array) -> Array:
        """The boxes (N, 4 * C) xyxy that offsets (N, 4 * C), one set a class, make of regions (N, 4)."""
        return decode(
            deltas, regions, self.region_weights, self.offset, self.largest_log_ratio, self.smallest_log_ratio
        )


CONVENTIONS: dict[str, Convention] = {
    "maskrcnn_benchmark": Convention(
        offset=1.0,
        clip_offset=1.0,
        reads_upright=False,
        size_rule="short side",
        resizer="Pillow on bytes",
        nearest_pixel="by centres",
        mirrors="after resizing",
        mask_source="polygons",
        whole_boxes=False,
        drops_empty_bitmaps="never",
        smallest_image_side=None,
        drops_ignored=False,
        smallest_annotated_side=None,
        smallest_object_side=None,
        anchor_rounding="ratios",
        anchor_centre="middle",
        anchor_order="ratio, size",
        anchor_distance="stride",
        anchor_weights=(1.0, 1.0, 1.0, 1.0),
        region_weights=(10.0, 10.0, 5.0, 5.0),
        largest_log_ratio=LARGEST_LOG_RATIO,
        smallest_log_ratio=None,
        anchors_used="inside",
        unused_anchors_match=True,
        low_quality_anchors=True,
        low_quality_regions=False,
        claimed_by="itself",
        proposal_rank="probability",
        proposal_score="probability",
        proposal_threshold=False,
        proposal_side="at least",
        proposal_offset=1.0,
        suppression="one offset",
        smallest_detection_side=None,
        detection_order="class",
        clips_to_original=False,
        drops_outside=False,
        result_offset=1.0,
        anchor_divisor="sampled",
        level_epsilons=(1e-6, 0.0),
        moves_target_boxes=True,
        aligned_targets=False,
        target_samples=0,
        soft_targets=False,
        pasting="resized",
        half_is_inside=False,
        head_weights="Kaiming",
        mask_logits_deviation=None,
    ),
    "torchvision": Convention(
        offset=0.0,
        clip_offset=0.0,
        reads_upright=False,
        size_rule="smaller scale",
        resizer="OpenCV on floats",
        nearest_pixel="by corners",
        mirrors="before resizing",
        mask_source="bitmaps",
        whole_boxes=False,
        drops_empty_bitmaps="never",
        smallest_image_side=None,
        drops_ignored=False,
        smallest_annotated_side=None,
        smallest_object_side=None,
        anchor_rounding="corners",
        anchor_centre="corner",
        anchor_order="ratio, size",
        anchor_distance="image over map",
        anchor_weights=(1.0, 1.0, 1.0, 1.0),
        region_weights=(10.0, 10.0, 5.0, 5.0),
        largest_log_ratio=LARGEST_LOG_RATIO,
        smallest_log_ratio=None,
        anchors_used="all",
        unused_anchors_match=False,
        low_quality_anchors=True,
        low_quality_regions=False,
        claimed_by="itself",
        proposal_rank="logit",
        proposal_score="probability",
        proposal_threshold=True,
        proposal_side="at least",
        proposal_offset=0.0,
        suppression="one offset",
        smallest_detection_side=1e-2,
        detection_order="score",
        clips_to_original=False,
        drops_outside=False,
        result_offset=0.0,
        anchor_divisor="sampled",
        level_epsilons=(0.0, 1e-6),
        moves_target_boxes=False,
        aligned_targets=False,
        target_samples=0,
        soft_targets=True,
        pasting="resized",
        half_is_inside=False,
        head_weights="PyTorch",
        mask_logits_deviation=None,
    ),
    "detectron2": Convention(
        offset=0.0,
        clip_offset=0.0,
        reads_upright=True,
        size_rule="both bounds",
        resizer="Pillow on bytes",
        nearest_pixel="by centres",
        mirrors="after resizing",
        mask_source="polygons",
        whole_boxes=False,
        drops_empty_bitmaps="after resizing",
        smallest_image_side=None,
        drops_ignored=False,
        smallest_annotated_side=None,
        smallest_object_side=1e-5,
        anchor_rounding="none",
        anchor_centre="corner",
        anchor_order="size, ratio",
        anchor_distance="stride",
        anchor_weights=(1.0, 1.0, 1.0, 1.0),
        region_weights=(10.0, 10.0, 5.0, 5.0),
        largest_log_ratio=LARGEST_LOG_RATIO,
        smallest_log_ratio=None,
        anchors_used="all",
        unused_anchors_match=False,
        low_quality_anchors=True,
        low_quality_regions=False,
        claimed_by="itself",
        proposal_rank="logit",
        proposal_score="logit",
        proposal_threshold=False,
        proposal_side="more than",
        proposal_offset=0.0,
        suppression="one offset",
        smallest_detection_side=None,
        detection_order="score",
        clips_to_original=True,
        drops_outside=True,
        result_offset=0.0,
        anchor_divisor="wanted",
        level_epsilons=(1e-8, 0.0),
        moves_target_boxes=False,
        aligned_targets=True,
        target_samples=0,
        soft_targets=False,
        pasting="sampled",
        half_is_inside=True,
        head_weights="Kaiming",
        mask_logits_deviation=1e-3,
    ),
    "mmdetection": Convention(
        offset=0.0,
        clip_offset=0.0,
        reads_upright=True,
        size_rule="rounded scale",
        resizer="OpenCV on bytes",
        nearest_pixel="OpenCV's",
        mirrors="first",
        mask_source="bitmaps",
        whole_boxes=False,
        drops_empty_bitmaps="never",
        smallest_image_side=32,
        drops_ignored=True,
        smallest_annotated_side=1.0,
        smallest_object_side=None,
        anchor_rounding="none",
        anchor_centre="corner",
        anchor_order="size, ratio",
        anchor_distance="stride",
        anchor_weights=(1.0, 1.0, 1.0, 1.0),
        region_weights=(10.0, 10.0, 5.0, 5.0),
        largest_log_ratio=LARGEST_LOG_RATIO,
        smallest_log_ratio=-LARGEST_LOG_RATIO,
        anchors_used="inside",
        unused_anchors_match=False,
        low_quality_anchors=True,
        low_quality_regions=False,
        claimed_by="last object",
        proposal_rank="probability",
        proposal_score="probability",
        proposal_threshold=False,
        proposal_side="at least",
        proposal_offset=0.0,
        suppression="one offset",
        smallest_detection_side=None,
        detection_order="score",
        clips_to_original=False,
        drops_outside=False,
        result_offset=0.0,
        anchor_divisor="at least one",
        level_epsilons=(2.5e-7, 0.0),
        moves_target_boxes=False,
        aligned_targets=True,
        target_samples=0,
        soft_targets=False,
        pasting="sampled",
        half_is_inside=True,
        head_weights="Xavier",
        mask_logits_deviation=None,
    ),
    "mindspore_zoo": Convention(
        offset=1.0,
        clip_offset=0.0,
        reads_upright=False,
        size_rule="canvas",
        resizer="OpenCV on bytes",
        nearest_pixel="OpenCV's",
        mirrors="after resizing",
        mask_source="bitmaps",
        whole_boxes=True,
        drops_empty_bitmaps="before resizing",
        smallest_image_side=None,
        drops_ignored=False,
        smallest_annotated_side=None,
        smallest_object_side=None,
        anchor_rounding="corners",
        anchor_centre="middle",
        anchor_order="ratio, size",
        anchor_distance="stride",
        anchor_weights=(1.0, 1.0, 1.0, 1.0),
        region_weights=(10.0, 10.0, 5.0, 5.0),
        largest_log_ratio=LARGEST_LOG_RATIO,
        smallest_log_ratio=-LARGEST_LOG_RATIO,
        anchors_used="all",
        unused_anchors_match=False,
        low_quality_anchors=True,
        low_quality_regions=True,
        claimed_by="last object",
        proposal_rank="probability",
        proposal_score="probability",
        proposal_threshold=False,
        proposal_side="at least",
        proposal_offset=0.0,
        suppression="areas alone",
        smallest_detection_side=None,
        detection_order="score",
        clips_to_original=False,
        drops_outside=True,
        result_offset=0.0,
        anchor_divisor="wanted",
        level_epsilons=(2.5e-7, 0.0),
        moves_target_boxes=False,
        aligned_targets=False,
        target_samples=2,
        soft_targets=False,
        pasting="sampled inside",
        half_is_inside=True,
        head_weights="MindSpore",
        mask_logits_deviation=None,
    ),
}

# A key of `CONVENTIONS`, as a model's YAML file names it.
ConventionName = Literal[tuple(CONVENTIONS)]
