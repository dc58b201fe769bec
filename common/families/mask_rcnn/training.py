"""A training step of a two-stage network: what its parts say, and what they are to learn from it."""

from collections.abc import Mapping

import numpy as np

from common.array import Array, namespace
from common.families.mask_rcnn.geometry import make_anchors, mask_side
from common.families.mask_rcnn.losses import compute_box_losses, compute_mask_loss, compute_rpn_losses
from common.families.mask_rcnn.outlines import Outline, unpack_outlines
from common.families.mask_rcnn.pooling import pool
from common.families.mask_rcnn.proposals import flatten_by_anchor, propose
from common.families.mask_rcnn.sampling import Regions, sample_regions
from common.families.mask_rcnn.settings import MaskRcnnSettings
from common.families.mask_rcnn.stages import Network, join_rois
from common.families.mask_rcnn.targets import make_mask_targets
from common.training.choices import Choose, choose_own

# Regions are filled up to a multiple of this with rows that count nowhere: never none, and fewer different sizes, each
# of which costs a framework that prepares its kernels for it.
_MULTIPLE = 16
_ANYWHERE = (0, 0, 0, 16, 16)  # such a row's region


def compute_losses(network: Network, batch: Mapping[str, Array], choose: Choose = choose_own) -> dict[str, Array]:
    """The terms objectness, rpn_boxes, classes, boxes and masks of a batch.

    image (N, 3, H, W); anchor_rows, anchor_labels (N, S) and anchor_targets (N, S, 4) as `anchor_targets` has them;
    normaliser.ranks: ones, summed over the ranks, as each term is the mean over them. In NumPy: host.image_size (N, 2)
    without padding, host.counts (N,) how many objects each image has, host.boxes (sum of G, 4) xyxy, host.labels
    (sum of G,), the objects' forms as `common.families.mask_rcnn.outlines` packs them, and host.seed (N,).
    """
    settings, xp = network.settings, namespace(batch["image"])
    maps = network.features(batch["image"])
    logits, deltas = network.rpn(maps)
    terms = dict(zip(("objectness", "rpn_boxes"), _of_anchors(logits, deltas, batch, settings), strict=True))
    sampled = _sample(
        [xp.stop_gradient(x) for x in logits], [xp.stop_gradient(x) for x in deltas], batch, settings, choose
    )
    terms |= _of_regions(network, maps, sampled, batch)
    ranks = xp.sum(batch["normaliser.ranks"])
    return {name: term / ranks for name, term in terms.items()}


def _of_anchors(
    logits: list[Array], deltas: list[Array], batch: Mapping[str, Array], settings: MaskRcnnSettings
) -> tuple[Array, Array]:
    xp = namespace(logits[0])
    flat = [flatten_by_anchor(*level) for level in zip(logits, deltas, strict=True)]
    all_logits, all_deltas = (xp.concatenate(parts, axis=1) for parts in zip(*flat, strict=True))
    images, count = all_logits.shape
    rows = batch["anchor_rows"] + count * xp.arange(images, like=all_logits)[:, None]
    rows, labels = (xp.reshape(x, (-1,)) for x in (rows, batch["anchor_labels"]))
    chosen = xp.take(xp.reshape(all_logits, (-1,)), rows), xp.take(xp.reshape(all_deltas, (-1, 4)), rows)
    return compute_rpn_losses(*chosen, labels, xp.reshape(batch["anchor_targets"], (-1, 4)), images, settings)


def _sample(
    logits: list[Array], deltas: list[Array], batch: Mapping[str, Array], settings: MaskRcnnSettings, choose: Choose
) -> list[Regions]:
    """Each image's regions to train on."""
    rpn, padded = settings.rpn, tuple(batch["image"].shape[2:])
    places = make_anchors(settings, padded, [tuple(x.shape[2:]) for x in logits])
    sizes = [tuple(size) for size in batch["host.image_size"].tolist()]
    limits = rpn.training
    if limits.over_batch:
        limits = limits.model_copy(update={"total": limits.total * len(sizes)})
    proposals = choose("proposals", propose(logits, deltas, places, sizes, settings.convention, rpn, limits))
    ends = np.cumsum(batch["host.counts"])[:-1]
    objects = np.split(batch["host.boxes"], ends), np.split(batch["host.labels"], ends), batch["host.seed"].tolist()
    return [
        sample_regions(found, boxes, columns, settings, seed)
        for found, boxes, columns, seed in zip(proposals, *objects, strict=True)
    ]


def _of_regions(
    network: Network, maps: list[Array], sampled: list[Regions], batch: Mapping[str, Array]
) -> dict[str, Array]:
    settings, xp = network.settings, namespace(maps[0])
    rois = _filled(join_rois([each.boxes for each in sampled]), _ANYWHERE)
    labels = _filled(np.concatenate([each.labels for each in sampled]), -1)
    targets = _filled(np.concatenate([each.targets for each in sampled]), 0)
    regions, columns, offsets = (xp.asarray(x, like=maps[0]) for x in (rois, labels, targets))
    features, class_logits, box_deltas = network.box_head(pool(maps, regions, settings, settings.network.box_size))
    classes, boxes = compute_box_losses(class_logits, box_deltas, columns, offsets, settings)

    starts = np.cumsum([0] + [len(each.boxes) for each in sampled[:-1]])
    positive = [start + np.arange(len(each.objects)) for start, each in zip(starts, sampled, strict=True)]
    positive = np.concatenate(positive).astype(np.int32)
    rows = xp.asarray(_filled(positive, 0), like=maps[0])
    if settings.network.fpn:
        into_masks = pool(maps, xp.take(regions, rows), settings, settings.network.mask_size)
    else:  # as the box head has pooled them
        into_masks = xp.take(features, rows)
    _, mask_logits = network.mask_head(into_masks)
    own = xp.asarray(_filled(labels[positive], -1), like=maps[0])
    wanted = xp.asarray(_filled(_mask_targets(sampled, batch, settings), 0), like=maps[0])
    return {"classes": classes, "boxes": boxes, "masks": compute_mask_loss(mask_logits, own, wanted)}


def _mask_targets(sampled: list[Regions], batch: Mapping[str, Array], settings: MaskRcnnSettings) -> np.ndarray:
    """(K, m, m) float32 between 0 and 1 of all images' positive regions."""
    forms: list[Outline] = unpack_outlines(batch)
    starts = np.cumsum(batch["host.counts"]) - batch["host.counts"]
    side, convention = mask_side(settings), settings.convention
    targets = [
        make_mask_targets(
            [forms[start + k] for k in each.objects], each.boxes[: len(each.objects)], size, side, convention
        )
        for each, start, size in zip(sampled, starts, batch["host.image_size"].tolist(), strict=True)
    ]
    return np.concatenate(targets)


def _filled(rows: np.ndarray, value: float | tuple[float, ...]) -> np.ndarray:
    """With rows of `value` behind the others, up to a multiple of so many and never none."""
    missing = -len(rows) % _MULTIPLE if len(rows) else _MULTIPLE
    return np.concatenate([rows, np.full((missing, *rows.shape[1:]), value, rows.dtype)])
