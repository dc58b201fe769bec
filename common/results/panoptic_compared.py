"""Panoptic results of two models on the same images, compared: segments, pixels, instances and figures."""

import numpy as np
from pycocotools import mask as rle_tools

from common.evaluation.panoptic_quality import count_pairs
from common.results.detections import compare_detections
from common.results.kind import Comparison, Entry, Figures, Results
from common.results.panoptic_files import decode_map

# From this IoU on, two segments of one class are of one thing or stuff.
_SAME_SEGMENT = 0.5
# Points of percent that figures may differ by where rounding moved a few segments.
_FIGURE_STEP = 0.1
_SEGMENT_FIGURES = [name + ending for ending in ("", "_th", "_st") for name in ("PQ", "SQ", "RQ")]


def compare_panoptic(
    reference: Results, other: Results, reference_figures: Figures, other_figures: Figures
) -> list[Comparison]:
    """Segments that have a partner, their scores and shapes, the pixels that agree, instances, and the figures.

    Rounding decides at thresholds: it may add or remove one segment of fifty, change a hundredth of the pixels of one
    of twenty-five, and give one pixel of a hundred of an image to another segment or class.
    """
    compared = compare_segments(reference["panoptic"], other["panoptic"])
    compared.append(_compare_classes(reference["semantic"], other["semantic"]))
    # Partners are found by the boxes around masks; a single pixel moves these, so that they are not compared.
    detections = compare_detections(
        *({"box": _with_boxes(each["mask"]), "mask": each["mask"]} for each in (reference, other))
    )
    compared += [pair for pair in detections if pair.name not in ("boxes", "scores")]
    figures = {
        "panoptic figures": ("panoptic", _SEGMENT_FIGURES),
        "semantic figures": ("semantic", ["mIoU", "fwIoU", "mACC", "pACC"]),
        "COCO figures of masks": ("mask", list(reference_figures["mask"])),
    }
    for title, (rated, names) in figures.items():
        pair = ([each[rated][name] for name in names] for each in (reference_figures, other_figures))
        compared.append(Comparison(title, *map(np.nan_to_num, map(np.array, pair)), step=_FIGURE_STEP))
    return compared


def compare_segments(reference: list[Entry], other: list[Entry]) -> list[Comparison]:
    """The counts, scores and IoUs of segments with a partner, and the share of an image's pixels that agree.

    reference, other: panoptic entries of the same images, with their PNGs. Segments of COCO's format need no scores;
    these are compared where all partners have them.
    """
    partners, agreeing, others = [], [], {entry["image_id"]: entry for entry in other}
    for entry in reference:
        found, share = _pair(entry, others[entry["image_id"]])
        partners += found
        agreeing.append(share)
    count = max(sum(len(entry["segments_info"]) for entry in entries) for entries in (reference, other))
    scores, other_scores, overlaps = np.array(partners, float).reshape(-1, 3).T
    compared = [Comparison("segments", np.array([count]), np.array([len(partners)]), step=0.02 * count)]
    if not np.isnan([scores, other_scores]).any():
        compared.append(Comparison("segment scores", scores, other_scores))
    compared.append(Comparison("segment IoU", np.ones(len(overlaps)), overlaps, step=0.01, share=0.04))
    compared.append(Comparison("pixels in the same segment", np.ones(len(agreeing)), np.array(agreeing), step=0.01))
    return compared


def _pair(first: Entry, second: Entry) -> tuple[list[tuple[float, float, float]], float]:
    """Both scores and the IoU of an image's segments that are the same, and the share of its pixels that agree.

    A score that is not there is NaN. A pixel agrees that is in the same segment in both, or in none.
    """
    known = [{each["id"]: each for each in entry["segments_info"]} for entry in (first, second)]
    maps = decode_map(first), decode_map(second)
    shared = count_pairs(maps[0], list(known[0]), maps[1], list(known[1]))
    areas = [dict(zip(*map(np.ndarray.tolist, np.unique(each, return_counts=True)), strict=True)) for each in maps]
    found, agreeing = [], shared.get((0, 0), 0)
    for (one, two), both in shared.items():
        if one not in known[0] or two not in known[1]:
            continue
        segments = known[0][one], known[1][two]
        overlap = both / (areas[0][one] + areas[1][two] - both)
        if segments[0]["category_id"] == segments[1]["category_id"] and overlap > _SAME_SEGMENT:
            found.append((*(each.get("score", np.nan) for each in segments), overlap))
            agreeing += both
    return found, agreeing / maps[0].size


def _compare_classes(reference: list[Entry], other: list[Entry]) -> Comparison:
    """The share of each image's pixels that have the same class in both."""
    masks = [
        {(each["image_id"], each["category_id"]): each["segmentation"] for each in one} for one in (reference, other)
    ]
    agreeing: dict[int, int] = {}
    pixels: dict[int, int] = {}
    for (image_id, category), mask in masks[0].items():
        pixels[image_id] = mask["size"][0] * mask["size"][1]
        partner = masks[1].get((image_id, category))
        both = rle_tools.area(rle_tools.merge([mask, partner], intersect=True)) if partner else 0
        agreeing[image_id] = agreeing.get(image_id, 0) + int(both)
    shares = np.array([agreeing[image_id] / pixels[image_id] for image_id in agreeing])
    return Comparison("pixels of the same class", np.ones(len(shares)), shares, step=0.01)


def _with_boxes(entries: list[Entry]) -> list[Entry]:
    """The entries of masks with the boxes around them."""
    return [entry | {"bbox": rle_tools.toBbox(entry["segmentation"]).tolist()} for entry in entries]
