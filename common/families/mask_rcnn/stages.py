"""A two-stage network put to work: its parts one after the other, and what goes between them."""

from typing import Protocol

import numpy as np

from common.array import Array, namespace
from common.errors import UserError
from common.families.mask_rcnn.anchors import inside_image
from common.families.mask_rcnn.detection import Detections, detect
from common.families.mask_rcnn.geometry import head_outputs, make_anchors, map_names, mask_side
from common.families.mask_rcnn.losses import select_columns
from common.families.mask_rcnn.pooling import pool
from common.families.mask_rcnn.proposals import Proposals, propose
from common.families.mask_rcnn.settings import MaskRcnnSettings


class Network(Protocol):
    """What every wing's `MaskRcnn` is."""

    settings: MaskRcnnSettings

    def __call__(self, image: Array) -> dict[str, Array]: ...
    def features(self, image: Array) -> list[Array]: ...
    def rpn(self, features: list[Array]) -> tuple[list[Array], list[Array]]: ...
    def box_head(self, pooled: Array) -> tuple[Array, Array, Array]: ...
    def mask_head(self, features: Array) -> tuple[Array, Array]: ...


def run_stages(network: Network, image: Array, inputs: dict[str, np.ndarray]) -> dict[str, Array]:
    """Every named stage of an image (N, 3, H, W).

    inputs: with `rois` (K, 5), image index, x1, y1, x2, y2, also what the heads say of these; with `image_size` (2,) or
    (N, 2), each image's height and width without padding, also proposals and detections, image after image.
    """
    settings = network.settings
    outputs = network(image)
    names = map_names(settings)
    maps = [outputs[name] for name in names]
    padded = tuple(image.shape[2:])
    places = make_anchors(settings, padded, [tuple(each.shape[2:]) for each in maps])
    run_stages = dict(outputs)
    for name, of_map in zip(names, places, strict=True):
        run_stages[f"anchors_{name}"] = of_map
        if settings.convention == "maskrcnn_benchmark":
            run_stages[f"anchors_inside_{name}"] = inside_image(of_map, padded)
    if "rois" in inputs:
        rois = _checked_rois(inputs["rois"], image.shape[0])
        run_stages |= _of_regions(network, maps, namespace(image).asarray(rois, like=image))
    if "image_size" in inputs:
        sizes = _checked_sizes(inputs["image_size"], image.shape[0])
        run_stages |= _inference(network, outputs, places, sizes)
    return run_stages


def _checked_rois(rois: np.ndarray, images: int) -> np.ndarray:
    if rois.ndim != 2 or rois.shape[1] != 5:
        raise UserError(f"rois has the shape {rois.shape}, not (K, 5): image index, x1, y1, x2, y2")
    if not np.isin(rois[:, 0], np.arange(images)).all():
        raise UserError(f"rois: column 0 is an image's index, from 0 to {images - 1}")
    return rois.astype(np.float32)


def _checked_sizes(image_size: np.ndarray, images: int) -> list[tuple[int, int]]:
    if image_size.size != 2 * images:
        raise UserError(f"image_size has the shape {image_size.shape}, not ({images}, 2): height, width of each image")
    return [tuple(size) for size in image_size.reshape(-1, 2).astype(int).tolist()]


def _of_regions(network: Network, maps: list[Array], rois: Array) -> dict[str, Array]:
    settings = network.settings
    pooled = pool(maps, rois, settings, settings.network.box_size)
    features, logits, deltas = network.box_head(pooled)
    run_stages = {"box_pooled": pooled, "box_features": features, "class_logits": logits, "box_deltas": deltas}
    into_masks = features
    if settings.network.fpn:
        run_stages["mask_pooled"] = into_masks = pool(maps, rois, settings, settings.network.mask_size)
    run_stages["mask_features"], run_stages["mask_logits"] = network.mask_head(into_masks)
    return run_stages


def _inference(
    network: Network, outputs: dict[str, Array], places: list[np.ndarray], image_sizes: list[tuple[int, int]]
) -> dict[str, np.ndarray]:
    """The whole inference, with anchors already made."""
    settings = network.settings
    names = map_names(settings)
    maps = [outputs[name] for name in names]
    logits, deltas = ([outputs[f"rpn_{kind}_{name}"] for name in names] for kind in ("logits", "deltas"))
    rpn = settings.rpn
    proposals = propose(logits, deltas, places, image_sizes, settings.convention, rpn, rpn.inference)
    found = find_boxes(network, maps, proposals, image_sizes)
    masks = find_masks(network, maps, found)
    return {
        "proposals": np.concatenate([each.boxes for each in proposals]),
        "proposal_scores": np.concatenate([each.scores for each in proposals]),
        "det_boxes": np.concatenate([each.boxes for each in found]),
        "det_scores": np.concatenate([each.scores for each in found]),
        "det_labels": np.concatenate([each.labels for each in found]),
        "det_masks": np.concatenate(masks),
    }


def find_boxes(
    network: Network, maps: list[Array], proposals: list[Proposals], image_sizes: list[tuple[int, int]]
) -> list[Detections]:
    """Each image's detections among its proposals."""
    settings, xp = network.settings, namespace(maps[0])
    rois = join_rois([each.boxes for each in proposals])
    counts = [len(each.boxes) for each in proposals]
    if len(rois) == 0:
        outputs = head_outputs(settings)
        logits, deltas = np.zeros((0, outputs.classes), np.float32), np.zeros((0, outputs.deltas), np.float32)
        return detect(logits, deltas, rois[:, 1:], counts, image_sizes, settings)
    regions = xp.asarray(rois, like=maps[0])
    _, logits, deltas = network.box_head(pool(maps, regions, settings, settings.network.box_size))
    return detect(logits, deltas, regions[:, 1:], counts, image_sizes, settings)


def find_masks(network: Network, maps: list[Array], found: list[Detections]) -> list[np.ndarray]:
    """Each detection's probabilities in its box: one (K, m, m) float32 an image."""
    settings, xp = network.settings, namespace(maps[0])
    chosen = settings.network
    rois = join_rois([each.boxes for each in found])
    if len(rois) == 0:
        size = mask_side(settings)
        return [np.zeros((0, size, size), np.float32) for _ in found]
    regions = xp.asarray(rois, like=maps[0])
    if chosen.fpn:
        into_masks = pool(maps, regions, settings, chosen.mask_size)
    else:
        into_masks = network.box_head(pool(maps, regions, settings, chosen.box_size))[0]
    _, logits = network.mask_head(into_masks)
    labels = xp.asarray(np.concatenate([each.labels for each in found]), like=logits)
    masks = xp.to_numpy(xp.sigmoid(select_columns(logits, labels)))
    return np.split(masks, np.cumsum([len(each.boxes) for each in found])[:-1])


def join_rois(boxes: list[np.ndarray]) -> np.ndarray:
    """Boxes (K, 4) of each image -> rois (sum of K, 5) float32: image index, x1, y1, x2, y2"""
    index = np.repeat(np.arange(len(boxes), dtype=np.float32), [len(each) for each in boxes])
    return np.concatenate([index[:, None], np.concatenate(boxes)], axis=1).astype(np.float32)
