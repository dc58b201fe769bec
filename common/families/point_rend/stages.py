"""Tracing PointRend: Mask R-CNN's stages with those of the two mask heads."""

from functools import partial

import numpy as np

from common.array import Array, namespace
from common.errors import UserError
from common.families.mask_rcnn import stages
from common.families.mask_rcnn.heads import Network, run_boxes
from common.families.point_rend.heads import find_masks, run_coarse, run_points, subdivide

Stages = stages.Stages


def run_stages(network: Network, image: Array, inputs: dict[str, np.ndarray]) -> Stages:
    """Every named stage of the images (N, 3, H, W); see `common.families.mask_rcnn.stages.run_stages`.

    inputs: with `rois` (K, 5), those of one image after the other, the box and the coarse head's stages are among them;
    with `points` (K, P, 2) in 0..1 of the rois, so are the point head's, and with `classes` (K,), labels, the steps of
    the subdivision: the cells that each chose and the mask in the end.
    """
    heads = partial(run_heads, inputs=inputs)
    return stages.run_stages(network, image, inputs, heads, find_masks=find_masks)


def run_heads(network: Network, maps: list[Array], rois: Array, inputs: dict[str, np.ndarray]) -> Stages:
    """The stages of the heads on the regions (K, 5) image index, x1, y1, x2, y2; inputs: as in `run_stages`.

    Without a region there are those of the box head alone.
    """
    xp, images = namespace(rois), inputs["rois"][:, 0].astype(int)
    if np.any(np.diff(images) < 0):
        raise UserError("rois: those of one image stand behind those of the image before it")
    counts = np.bincount(images, minlength=maps[0].shape[0]).tolist()
    found: Stages = run_boxes(network, maps, rois)
    if not len(images):
        return found
    boxes = rois[:, 1:]
    found |= run_coarse(network, maps, boxes, counts)
    coarse = found["coarse_logits"]
    if "points" in inputs:
        points = xp.asarray(inputs["points"].astype(np.float32), like=rois)
        found |= run_points(network, maps, boxes, counts, points, coarse)
    if "classes" in inputs:
        labels = xp.asarray(inputs["classes"].astype(np.int32), like=rois)
        first, *steps = subdivide(network, maps, boxes, counts, coarse, labels)
        for number, step in enumerate(steps):
            nothing = xp.zeros((len(images), step.logits.shape[1] ** 2), like=rois)
            chosen = xp.put_along_axis(nothing, step.chosen, xp.astype(step.chosen >= 0, "float32"), 1)
            found[f"chosen_{number}"] = xp.reshape(chosen, step.logits.shape)
        found["mask_logits"] = [first, *steps][-1].logits
        found["mask_probs"] = xp.sigmoid(found["mask_logits"])
    return found
