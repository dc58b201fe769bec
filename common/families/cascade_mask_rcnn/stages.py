"""Tracing a cascade: Mask R-CNN's stages, with those of every box head and every mask head."""

from functools import partial

import numpy as np

from common.array import Array, namespace
from common.families.cascade_mask_rcnn.heads import (
    Network,
    Sizes,
    cut_to_images,
    find_boxes,
    find_masks,
    mean,
    run_box_heads,
    run_mask_heads,
    stages_of,
)
from common.families.mask_rcnn import stages

Stages = stages.Stages


def run_stages(network: Network, image: Array, inputs: dict[str, np.ndarray]) -> Stages:
    """Every named stage of the images (N, 3, H, W); see `common.families.mask_rcnn.stages.run_stages`.

    Between the heads regions are cut to the images' `image_size` or, without it, to what the network was given.
    """
    sizes = [tuple(image.shape[2:])] * image.shape[0]
    if "image_size" in inputs:
        sizes = stages.check_sizes(inputs["image_size"], image.shape[0])
    heads = partial(run_heads, sizes=sizes)
    return stages.run_stages(network, image, inputs, heads, find_boxes, find_masks)


def run_heads(network: Network, maps: list[Array], rois: Array, sizes: Sizes) -> Stages:
    """The stages of all heads on the regions (K, 5) image index, x1, y1, x2, y2; sizes: the images' (height, width).

    Every mask head runs on these regions themselves.
    """
    xp, cascade = namespace(rois), stages_of(network)
    runs = run_box_heads(cascade, maps, rois, sizes)
    found: Stages = {"box_pooled": runs[0]["box_pooled"]}
    for number, run in enumerate(runs):
        found |= {f"{name}_s{number}": run[name] for name in ("box_features", "class_logits", "box_deltas")}
        if number:
            found[f"rois_s{number}"] = run["rois"][:, 1:]
    last, settings = runs[-1], cascade[-1].settings
    boxes = settings.rules.decode_regions(last["box_deltas"], last["rois"][:, 1:])
    boxes = xp.reshape(boxes, (boxes.shape[0], settings.num_classes, 4))
    masks = run_mask_heads(network, maps, rois)
    logits = masks["mask_logits"]
    return found | {
        "class_scores": xp.softmax(mean([run["class_logits"] for run in runs]), 1),
        "boxes": cut_to_images(boxes, rois, sizes),
        "mask_pooled": masks["mask_pooled"],
        **{f"mask_logits_s{number}": each for number, each in enumerate(logits)},
        "mask_scores": mean([xp.sigmoid(each) for each in logits]),
    }
