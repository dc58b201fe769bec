"""Tracing a two-stage network: every named stage of the computation, as golden cases and parity compare them."""

from collections.abc import Callable

import numpy as np

from common.array import Array, namespace
from common.errors import UserError
from common.families.mask_rcnn.anchors import inside_image
from common.families.mask_rcnn.geometry import make_anchors, map_names
from common.families.mask_rcnn.heads import Network, find_boxes, find_masks, run_boxes, run_masks
from common.families.mask_rcnn.prediction import FindBoxes, FindMasks
from common.families.mask_rcnn.proposals import propose

Stages = dict[str, Array | np.ndarray]


def run_heads(network: Network, maps: list[Array], rois: Array) -> Stages:
    """The stages of both heads on the regions (K, 5) image index, x1, y1, x2, y2."""
    stages = run_boxes(network, maps, rois)
    return stages | run_masks(network, maps, rois, stages["box_features"])


def run_stages(
    network: Network,
    image: Array,
    inputs: dict[str, np.ndarray],
    run_heads: Callable[[Network, list[Array], Array], Stages] = run_heads,
    find_boxes: FindBoxes = find_boxes,
    find_masks: FindMasks = find_masks,
) -> Stages:
    """Every named stage of the images (N, 3, H, W).

    inputs: with `rois` (K, 5), image index, x1, y1, x2, y2, the heads' stages on these are among them; with
    `image_size` (2,) or (N, 2), each image's height and width without padding, so are the proposals, the detections and
    their masks, image after image.
    """
    settings = network.settings
    outputs = network(image)
    names, padded = map_names(settings), tuple(image.shape[2:])
    maps = [outputs[name] for name in names]
    anchors = make_anchors(settings, padded, [tuple(each.shape[2:]) for each in maps])
    stages: Stages = dict(outputs)
    for name, of_map in zip(names, anchors, strict=True):
        stages[f"anchors_{name}"] = of_map
        if settings.rules.anchors_used == "inside":
            stages[f"anchors_inside_{name}"] = inside_image(of_map, padded)
    if "rois" in inputs:
        rois = _check_rois(inputs["rois"], image.shape[0])
        stages |= run_heads(network, maps, namespace(image).asarray(rois, like=image))
    if "image_size" in inputs:
        sizes = check_sizes(inputs["image_size"], image.shape[0])
        logits, deltas = ([outputs[f"rpn_{kind}_{name}"] for name in names] for kind in ("logits", "deltas"))
        rpn = settings.rpn
        proposals = propose(logits, deltas, anchors, sizes, settings.rules, rpn, rpn.inference)
        found = find_boxes(network, maps, proposals, sizes)
        stages |= {
            "proposals": np.concatenate([each.boxes for each in proposals]),
            "proposal_scores": np.concatenate([each.scores for each in proposals]),
            "det_boxes": np.concatenate([each.boxes for each in found]),
            "det_scores": np.concatenate([each.scores for each in found]),
            "det_labels": np.concatenate([each.labels for each in found]),
            "det_masks": np.concatenate([each.probabilities for each in find_masks(network, maps, found)]),
        }
    return stages


def _check_rois(rois: np.ndarray, images: int) -> np.ndarray:
    """The rois as (K, 5) float32, if they are such and lie in one of so many images."""
    if rois.ndim != 2 or rois.shape[1] != 5:
        raise UserError(f"rois has the shape {rois.shape}, not (K, 5): image index, x1, y1, x2, y2")
    if not np.isin(rois[:, 0], np.arange(images)).all():
        raise UserError(f"rois: column 0 is an image's index, from 0 to {images - 1}")
    return rois.astype(np.float32)


def check_sizes(image_size: np.ndarray, images: int) -> list[tuple[int, int]]:
    """The (height, width) of each of so many images, if so many are given."""
    if image_size.size != 2 * images:
        raise UserError(f"image_size has the shape {image_size.shape}, not ({images}, 2): height, width of each image")
    return [tuple(size) for size in image_size.reshape(-1, 2).astype(int).tolist()]
