"""A training step of a two-stage network: its losses on a batch, stage by stage."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from common.array import Array, namespace
from common.families.mask_rcnn.geometry import make_anchors, mask_side
from common.families.mask_rcnn.heads import FILLER_BOX, HeadNetwork, Network, fill_up, join_rois, run_boxes, run_masks
from common.families.mask_rcnn.losses import compute_box_losses, compute_mask_loss, compute_rpn_losses
from common.families.mask_rcnn.outlines import outlines_by_image
from common.families.mask_rcnn.proposals import Proposals, flatten_by_anchor, propose
from common.families.mask_rcnn.sampling import Regions, sample_regions
from common.families.mask_rcnn.settings import MaskRcnnSettings
from common.families.mask_rcnn.targets import make_mask_targets
from common.training.choices import Choose, choose_own
from common.training.ranks import SumOverRanks, sum_of_one

Batch = Mapping[str, Array]
Terms = dict[str, Array]
# A rank's number of rows -> what its mean over them is multiplied by, so that the sum over the ranks is the whole
# batch's. Every rank must ask equally often.
Share = Callable[[int], float]

# Regions are filled up to a multiple of this with rows that count nowhere: never none, and fewer different sizes, each
# of which costs a framework that prepares its kernels for it.
_MULTIPLE = 16
_FILLER_ROI = (0, *FILLER_BOX)
_SEED_BITS = 32  # of an image's seed, behind which a run's number has its place


def train_boxes(
    network: HeadNetwork, maps: list[Array], proposals: list[Proposals], batch: Batch, share: Share
) -> tuple[Terms, list[Regions], Array]:
    """Samples each image's regions among its proposals and runs the box head on them.

    Returns this rank's shares of the terms `classes` and `boxes`, each image's regions, and the box head's features of
    all of these, image after image, with rows behind them that fill up. With `masks_on_found_boxes` the positive
    regions come back as the boxes that their labels' offsets make of them; these may reach beyond the image.
    """
    settings, xp = network.settings, namespace(maps[0])
    sampled = sample(proposals, batch, settings)
    rois = _fill_up(join_rois([each.boxes for each in sampled]), _FILLER_ROI)
    labels = _fill_up(np.concatenate([each.labels for each in sampled]), -1)
    targets = _fill_up(np.concatenate([each.targets for each in sampled]), 0)
    rois, labels, targets = (xp.asarray(x, like=maps[0]) for x in (rois, labels, targets))
    outputs = run_boxes(network, maps, rois)
    classes, boxes = compute_box_losses(outputs["class_logits"], outputs["box_deltas"], labels, targets, settings)
    if settings.losses.masks_on_found_boxes:
        sampled = _move_to_found_boxes(sampled, xp.to_numpy(xp.stop_gradient(outputs["box_deltas"])), settings)
    part = share(sum(len(each.boxes) for each in sampled))
    return {"classes": classes * part, "boxes": boxes * part}, sampled, outputs["box_features"]


def train_masks(
    network: HeadNetwork,
    maps: list[Array],
    sampled: list[Regions],
    box_features: Array,
    batch: Batch,
    share: Share,
) -> Terms:
    """Runs the mask head on the positive ones of each image's sampled regions: this rank's share of the term `masks`.

    box_features: the box head's of all sampled regions, as `train_boxes` returns them.
    """
    settings, xp = network.settings, namespace(maps[0])
    starts = np.cumsum([0] + [len(each.boxes) for each in sampled[:-1]])
    positive = [start + np.arange(len(each.objects)) for start, each in zip(starts, sampled, strict=True)]
    positive = np.concatenate(positive).astype(np.int32)
    part = share(len(positive))
    rows = _fill_up(positive, 0)
    rois = _fill_up(join_rois([each.boxes for each in sampled]), _FILLER_ROI)[rows]
    labels = _fill_up(np.concatenate([each.labels for each in sampled])[positive], -1)
    targets = _fill_up(_make_mask_targets(sampled, batch, settings), 0)
    rois, rows, labels, targets = (xp.asarray(x, like=maps[0]) for x in (rois, rows, labels, targets))
    outputs = run_masks(network, maps, rois, xp.take(box_features, rows))
    return {"masks": compute_mask_loss(outputs["mask_logits"], labels, targets) * part}


# What a family's `train_boxes` says of its regions, and the features of these, its own `train_masks` is given.
TrainBoxes = Callable[[Network, list[Array], list[Proposals], Batch, Share], tuple[Terms, Any, Array | None]]
TrainMasks = Callable[[Network, list[Array], Any, Array | None, Batch, Share], Terms]


def compute_losses(
    network: Network,
    batch: Batch,
    choose: Choose = choose_own,
    sum_over_ranks: SumOverRanks = sum_of_one,
    train_boxes: TrainBoxes = train_boxes,
    train_masks: TrainMasks = train_masks,
) -> Terms:
    """The terms objectness, rpn_boxes, classes, boxes and masks of a batch; a family's own steps may have others.

    Of a rank's part of a batch they are its shares of the whole batch's; with `schedule.rank_means` they are what they
    are for its images alone, divided by the number of ranks.

    image (N, 3, H, W); anchor_rows, anchor_labels (N, S) and anchor_targets (N, S, 4) as `make_anchor_targets` has
    them. In NumPy: host.anchors () as `count_anchors` counts them, host.image_size (N, 2) without padding,
    host.counts (N,) how many objects each image has, host.boxes (sum of G, 4) xyxy, host.labels (sum of G,) their
    labels, their outlines as `pack_outlines` packs them, and host.seed (N,).
    With drop path also branch_scales (N, 2 * blocks), by what each image multiplies the branches of the backbone.
    The step goes on with the proposals that `choose` gives for its own.
    """
    share = make_share(network.settings, sum_over_ranks)
    maps = network.features(batch["image"], batch.get("branch_scales"))
    logits, deltas = network.rpn(maps)
    terms = _compute_anchor_losses(logits, deltas, batch, share, network.settings)
    proposals = choose("proposals", _propose(logits, deltas, batch, network.settings))
    box_terms, sampled, box_features = train_boxes(network, maps, proposals, batch, share)
    return terms | box_terms | train_masks(network, maps, sampled, box_features, batch, share)


def make_share(settings: MaskRcnnSettings, sum_over_ranks: SumOverRanks) -> Share:
    """The share of a training step, which every rank must make."""
    if settings.schedule.rank_means:
        ranks = sum_over_ranks(np.ones(1, np.float32)).item()
        return lambda count: 1 / ranks

    def share(count: int) -> float:
        total = sum_over_ranks(np.float32([count])).item()
        # A mean over no rows is their sum, 0, divided by 1.
        return max(count, 1) / max(total, 1)

    return share


def _compute_anchor_losses(
    logits: list[Array], deltas: list[Array], batch: Batch, share: Share, settings: MaskRcnnSettings
) -> Terms:
    """The shares of the terms `objectness` and `rpn_boxes`, of the sampled anchors.

    logits, deltas: of each map (N, A, h, w) and (N, 4 * A, h, w).
    """
    xp = namespace(logits[0])
    flat = [flatten_by_anchor(*of_map) for of_map in zip(logits, deltas, strict=True)]
    all_logits, all_deltas = (xp.concatenate(parts, axis=1) for parts in zip(*flat, strict=True))
    images, count = all_logits.shape
    rows = batch["anchor_rows"] + count * xp.arange(images, like=all_logits)[:, None]
    rows, labels = (xp.reshape(x, (-1,)) for x in (rows, batch["anchor_labels"]))
    sampled = xp.take(xp.reshape(all_logits, (-1,)), rows), xp.take(xp.reshape(all_deltas, (-1, 4)), rows)
    targets = xp.reshape(batch["anchor_targets"], (-1, 4))
    anchors = int(batch["host.anchors"])
    objectness, boxes = compute_rpn_losses(*sampled, labels, targets, anchors, settings)
    part = share(anchors)
    return {"objectness": objectness * part, "rpn_boxes": boxes * part}


def _propose(logits: list[Array], deltas: list[Array], batch: Batch, settings: MaskRcnnSettings) -> list[Proposals]:
    """Each image's proposals from the maps' logits and offsets, through which no gradient flows."""
    xp, rpn = namespace(logits[0]), settings.rpn
    logits, deltas = ([xp.stop_gradient(x) for x in maps] for maps in (logits, deltas))
    anchors = make_anchors(settings, tuple(batch["image"].shape[2:]), [tuple(x.shape[2:]) for x in logits])
    sizes = [tuple(size) for size in batch["host.image_size"].tolist()]
    limits = rpn.training
    if limits.over_batch:
        limits = limits.model_copy(update={"total": limits.total * len(sizes)})
    return propose(logits, deltas, anchors, sizes, settings.rules, rpn, limits)


def sample(proposals: list[Proposals], batch: Batch, settings: MaskRcnnSettings, run: int = 0) -> list[Regions]:
    """Each image's regions to train on; what is drawn for them depends on the number of the run, too."""
    ends = np.cumsum(batch["host.counts"])[:-1]
    seeds = (batch["host.seed"] + (run << _SEED_BITS)).tolist()
    objects = np.split(batch["host.boxes"], ends), np.split(batch["host.labels"], ends), seeds
    return [
        sample_regions(of_image, boxes, labels, settings, seed)
        for of_image, boxes, labels, seed in zip(proposals, *objects, strict=True)
    ]


def _move_to_found_boxes(sampled: list[Regions], deltas: np.ndarray, settings: MaskRcnnSettings) -> list[Regions]:
    """The regions, the positive ones moved by the offsets (R, 4 * boxes) that their labels have; R of all images."""
    rules, moved, start = settings.rules, [], 0
    by_label = deltas.reshape(len(deltas), deltas.shape[1] // 4, 4)
    for regions in sampled:
        positive = np.arange(len(regions.objects))
        own = by_label[start + positive, regions.labels[positive]]
        boxes = regions.boxes.copy()
        boxes[positive] = rules.decode_regions(own, boxes[positive])
        moved.append(replace(regions, boxes=boxes))
        start += len(boxes)
    return moved


def _make_mask_targets(sampled: list[Regions], batch: Batch, settings: MaskRcnnSettings) -> np.ndarray:
    """The masks of all images' positive regions: (K, m, m) float32 between 0 and 1."""
    targets = []
    images = zip(sampled, outlines_by_image(batch), batch["host.image_size"].tolist(), strict=True)
    for regions, outlines, size in images:
        own = [outlines[k] for k in regions.objects]
        boxes = regions.boxes[: len(regions.objects)]
        targets.append(make_mask_targets(own, boxes, size, mask_side(settings), settings.rules))
    return np.concatenate(targets)


def _fill_up(rows: np.ndarray, value: float | tuple[float, ...]) -> np.ndarray:
    """The rows with others of `value` behind them, up to a multiple of `_MULTIPLE` and never none."""
    return fill_up(rows, max(-(-len(rows) // _MULTIPLE), 1) * _MULTIPLE, value)
