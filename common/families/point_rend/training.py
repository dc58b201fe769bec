"""A training step of PointRend: Mask R-CNN's, with two terms for the masks, of the coarse logits and of points."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from common.array import Array, namespace
from common.families.mask_rcnn import training
from common.families.mask_rcnn.heads import FILLER_BOX, fill_up
from common.families.mask_rcnn.losses import compute_mask_loss, select_class
from common.families.mask_rcnn.outlines import Outline, outlines_by_image
from common.families.mask_rcnn.sampling import Regions
from common.families.mask_rcnn.targets import make_mask_targets
from common.families.point_rend.heads import Network, run_coarse, run_points
from common.families.point_rend.points import draw_points, read_outlines, to_image
from common.families.point_rend.settings import PointRendSettings
from common.points import choose_points
from common.training.choices import Choose, choose_own
from common.training.ranks import SumOverRanks, sum_of_one

Batch = Mapping[str, Array]
_NOTHING = Outline(bitmap=np.zeros((1, 1), np.uint8))  # the object of a row that does not count


@dataclass(frozen=True)
class Rows:
    """The regions on which the masks train, image after image, with rows of label -1 that do not count."""

    boxes: np.ndarray  # (K, 4) xyxy float32
    labels: np.ndarray  # (K,) int32
    counts: list[int]  # of each image
    outlines: list[Outline]  # the object of each row
    targets: np.ndarray  # (K, m, m) float32: the coarse masks that are to come out
    candidates: np.ndarray  # (K, C, 2) float32: of these points the unsurest are taken
    fresh: np.ndarray  # (K, P, 2) float32: these are taken in any case


def compute_losses(
    network: Network, batch: Batch, choose: Choose = choose_own, sum_over_ranks: SumOverRanks = sum_of_one
) -> training.Terms:
    """The terms of Mask R-CNN and `points`; see `common.families.mask_rcnn.training.compute_losses`.

    With `masks_alone` the terms `masks` and `points` are all. The step goes on with the points, too, that `choose`
    gives for its own.
    """
    own_masks = partial(train_masks, choose=choose)
    terms = training.compute_losses(network, batch, choose, sum_over_ranks, train_masks=own_masks)
    return {name: terms[name] for name in network.settings.loss_terms()}


def train_masks(
    network: Network,
    maps: list[Array],
    sampled: list[Regions],
    box_features: Array,
    batch: Batch,
    share: training.Share,
    choose: Choose = choose_own,
) -> training.Terms:
    """Runs the coarse and the point head on the positive ones of each image's sampled regions.

    Returns this rank's shares of the terms `masks` and `points`.
    """
    part = share(sum(len(regions.objects) for regions in sampled))
    terms, _ = compute_mask_terms(network, maps, arrange_rows(sampled, batch, network.settings), choose)
    return {name: term * part for name, term in terms.items()}


def arrange_rows(sampled: list[Regions], batch: Batch, settings: PointRendSettings) -> Rows:
    """The positive ones of each image's sampled regions, in the rows that the variant has.

    The variant `mask` has as many rows of each image as it may have positive regions; `index` has the positive ones
    alone, and if there are none in the whole batch a single one that does not count.
    """
    counts = [len(regions.objects) for regions in sampled]
    if settings.variant == "mask":
        losses = settings.losses
        counts = [int(losses.regions_per_image * losses.positive_regions)] * len(sampled)
    elif not any(counts):
        counts = [1, *counts[1:]]
    sizes, seeds = batch["host.image_size"].tolist(), batch["host.seed"].tolist()
    images = zip(sampled, outlines_by_image(batch), sizes, seeds, counts, strict=True)
    rows = [_arrange_image(*image, settings) for image in images]
    arrays = {
        field: np.concatenate([getattr(each, field) for each in rows])
        for field in ("boxes", "labels", "targets", "candidates", "fresh")
    }
    return Rows(**arrays, counts=counts, outlines=[outline for each in rows for outline in each.outlines])


def _arrange_image(
    regions: Regions,
    outlines: list[Outline],
    size: tuple[int, int],
    seed: int,
    count: int,
    settings: PointRendSettings,
) -> Rows:
    """So many rows for an image (height, width) of this seed, its positive regions first."""
    positive, side = len(regions.objects), settings.network.coarse_size
    boxes, own = regions.boxes[:positive], [outlines[k] for k in regions.objects]
    candidates, fresh = draw_points(seed, regions.numbers, settings.points)
    return Rows(
        boxes=fill_up(boxes, count, FILLER_BOX),
        labels=fill_up(regions.labels[:positive], count, -1),
        counts=[count],
        outlines=own + [_NOTHING] * (count - positive),
        targets=fill_up(make_mask_targets(own, boxes, size, side, settings.rules), count, 0),
        candidates=fill_up(candidates, count, 0.5),
        fresh=fill_up(fresh, count, 0.5),
    )


def compute_mask_terms(
    network: Network, maps: list[Array], rows: Rows, choose: Choose = choose_own
) -> tuple[training.Terms, dict[str, Array]]:
    """The terms `masks` and `points` of the rows, and what they are computed from.

    That is coarse_logits (K, outputs, m, m), points (K, P, 2) and point_labels (K, P), which is how much of the object
    lies at each point, between 0 and 1, and point_logits (K, outputs, P). The points come with the unsure ones first.
    """
    xp = namespace(maps[0])
    boxes, labels, targets = (xp.asarray(x, like=maps[0]) for x in (rows.boxes, rows.labels, rows.targets))
    coarse = run_coarse(network, maps, boxes, rows.counts)["coarse_logits"]
    candidates, fresh = (xp.asarray(x, like=coarse) for x in (rows.candidates, rows.fresh))
    own = select_class(coarse, xp.where(labels >= 0, labels, 0))
    points = choose_points(own, candidates, fresh, network.settings.points.unsure, partial(choose, "points"))
    positions = xp.to_numpy(to_image(points, boxes))
    point_labels = xp.asarray(read_outlines(rows.outlines, positions), like=maps[0])
    logits = run_points(network, maps, boxes, rows.counts, points, coarse)["point_logits"]
    terms = {
        "masks": compute_mask_loss(coarse, labels, targets),
        "points": compute_mask_loss(logits, labels, point_labels),
    }
    return terms, {"coarse_logits": coarse, "points": points, "point_labels": point_labels, "point_logits": logits}
