"""The conventions in which the originals of Mask R-CNN differ: one record, with one instance an original.

Code asks a record's fields and never for an original's name. `docs/conventions.md` shows the fields side by side.
"""

from dataclasses import dataclass
from typing import Literal

from common.box_coder import LARGEST_LOG_RATIO

Weights = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Convention:
    """One original's answers to the questions that the originals answer differently."""

    # A box. What a side counts beyond x2 - x1: 1 where x2 is the last pixel inside, 0 where it is the border.
    offset: float

    # An image and its objects.
    reads_upright: bool  # a file is turned as its EXIF data says, else it is taken as it is stored
    size_rule: Literal["short side", "smaller scale", "both bounds"]  # see `resizing.resized_size`
    resizer: Literal["Pillow on bytes", "OpenCV on floats"]
    nearest_pixel: Literal[
        "by corners", "by centres"
    ]  # which pixel a resized bitmap shows; see `resizing.find_nearest`
    mirrors: Literal["before resizing", "after resizing"]  # bitmaps; of everything else the two are the same
    mask_source: Literal["polygons", "bitmaps"]  # polygons: where an object has them
    drops_empty_bitmaps: bool  # an object whose bitmap has no pixel is left out
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

    # Matching.
    anchors_used: Literal["all", "inside"]  # inside: an anchor that leaves the unpadded image does not train
    low_quality_anchors: bool  # each object makes positive the anchors that overlap it most, at any overlap
    low_quality_regions: bool

    # Proposals and detections.
    proposal_rank: Literal["probability", "logit"]  # what the best anchors of a map are chosen by
    proposal_score: Literal["probability", "logit"]  # what a proposal's score is
    proposal_threshold: bool  # `rpn.score_threshold` counts
    proposal_side: Literal["at least", "more than"]  # how long a proposal's sides are: `rpn.smallest_side`
    smallest_detection_side: float | None
    detection_order: Literal["class", "score"]  # class: class by class, and equals of the last score stay
    clips_to_original: bool  # detections are cut to the image's own size, and those without area go

    # Losses. The divisor of the anchors' losses: how many were sampled, or how many were to be.
    anchor_divisor: Literal["sampled", "wanted"]

    # Pooling. What is added to a side's quotient and to its logarithm, so that a side of exactly 224 keeps its level.
    level_epsilons: tuple[float, float]

    # Masks.
    moves_target_boxes: bool  # the upper left corner of a mask target's box is moved into the image
    aligned_targets: bool  # RoIAlign of a bitmap shifts by half a pixel
    soft_targets: bool  # what is pooled from a bitmap is the target itself, else whether it is at least a half
    pasting: Literal["resized", "sampled"]  # see `masks.paste`
    half_is_inside: bool  # a pixel of exactly 0.5 belongs to the object

    # Initial weights; see `initial_weights.initial_weight`.
    head_weights: Literal["Kaiming", "PyTorch"]
    mask_logits_deviation: float | None  # none: Kaiming's


CONVENTIONS: dict[str, Convention] = {
    "maskrcnn_benchmark": Convention(
        offset=1.0,
        reads_upright=False,
        size_rule="short side",
        resizer="Pillow on bytes",
        nearest_pixel="by centres",
        mirrors="after resizing",
        mask_source="polygons",
        drops_empty_bitmaps=False,
        smallest_object_side=None,
        anchor_rounding="ratios",
        anchor_centre="middle",
        anchor_order="ratio, size",
        anchor_distance="stride",
        anchor_weights=(1.0, 1.0, 1.0, 1.0),
        region_weights=(10.0, 10.0, 5.0, 5.0),
        largest_log_ratio=LARGEST_LOG_RATIO,
        anchors_used="inside",
        low_quality_anchors=True,
        low_quality_regions=False,
        proposal_rank="probability",
        proposal_score="probability",
        proposal_threshold=False,
        proposal_side="at least",
        smallest_detection_side=None,
        detection_order="class",
        clips_to_original=False,
        anchor_divisor="sampled",
        level_epsilons=(1e-6, 0.0),
        moves_target_boxes=True,
        aligned_targets=False,
        soft_targets=False,
        pasting="resized",
        half_is_inside=False,
        head_weights="Kaiming",
        mask_logits_deviation=None,
    ),
    "torchvision": Convention(
        offset=0.0,
        reads_upright=False,
        size_rule="smaller scale",
        resizer="OpenCV on floats",
        nearest_pixel="by corners",
        mirrors="before resizing",
        mask_source="bitmaps",
        drops_empty_bitmaps=False,
        smallest_object_side=None,
        anchor_rounding="corners",
        anchor_centre="corner",
        anchor_order="ratio, size",
        anchor_distance="image over map",
        anchor_weights=(1.0, 1.0, 1.0, 1.0),
        region_weights=(10.0, 10.0, 5.0, 5.0),
        largest_log_ratio=LARGEST_LOG_RATIO,
        anchors_used="all",
        low_quality_anchors=True,
        low_quality_regions=False,
        proposal_rank="logit",
        proposal_score="probability",
        proposal_threshold=True,
        proposal_side="at least",
        smallest_detection_side=1e-2,
        detection_order="score",
        clips_to_original=False,
        anchor_divisor="sampled",
        level_epsilons=(0.0, 1e-6),
        moves_target_boxes=False,
        aligned_targets=False,
        soft_targets=True,
        pasting="resized",
        half_is_inside=False,
        head_weights="PyTorch",
        mask_logits_deviation=None,
    ),
    "detectron2": Convention(
        offset=0.0,
        reads_upright=True,
        size_rule="both bounds",
        resizer="Pillow on bytes",
        nearest_pixel="by centres",
        mirrors="after resizing",
        mask_source="polygons",
        drops_empty_bitmaps=True,
        smallest_object_side=1e-5,
        anchor_rounding="none",
        anchor_centre="corner",
        anchor_order="size, ratio",
        anchor_distance="stride",
        anchor_weights=(1.0, 1.0, 1.0, 1.0),
        region_weights=(10.0, 10.0, 5.0, 5.0),
        largest_log_ratio=LARGEST_LOG_RATIO,
        anchors_used="all",
        low_quality_anchors=True,
        low_quality_regions=False,
        proposal_rank="logit",
        proposal_score="logit",
        proposal_threshold=False,
        proposal_side="more than",
        smallest_detection_side=None,
        detection_order="score",
        clips_to_original=True,
        anchor_divisor="wanted",
        level_epsilons=(1e-8, 0.0),
        moves_target_boxes=False,
        aligned_targets=True,
        soft_targets=False,
        pasting="sampled",
        half_is_inside=True,
        head_weights="Kaiming",
        mask_logits_deviation=1e-3,
    ),
}

# A key of `CONVENTIONS`, as a model's YAML file names it.
ConventionName = Literal[tuple(CONVENTIONS)]
