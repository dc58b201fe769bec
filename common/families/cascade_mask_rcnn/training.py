"""A training step of a cascade: Mask R-CNN's, with the second stage run several times."""

from functools import partial

import numpy as np

from common.array import Array, namespace
from common.families.cascade_mask_rcnn.heads import Network, refine, run_boxes, stages_of
from common.families.cascade_mask_rcnn.losses import compute_stage_losses
from common.families.mask_rcnn import training
from common.families.mask_rcnn.heads import join_rois
from common.families.mask_rcnn.proposals import Proposals
from common.families.mask_rcnn.sampling import Regions
from common.families.mask_rcnn.training import Batch, Share, Terms
from common.training.choices import Choose, choose_own
from common.training.ranks import SumOverRanks, sum_of_one

# The regions of a stage, image after image, and its box head's features of them.
Run = tuple[list[Regions], Array]


def compute_losses(
    network: Network, batch: Batch, choose: Choose = choose_own, sum_over_ranks: SumOverRanks = sum_of_one
) -> Terms:
    """The terms objectness and rpn_boxes and, of each stage N, classesN, boxesN and masksN.

    See `common.families.mask_rcnn.training.compute_losses`. Each stage from the second on goes on with the boxes,
    `proposalsN`, that `choose` gives for those that the stage before has made: an overlap that is rounded otherwise
    would make an object of a region.
    """
    return training.compute_losses(
        network, batch, choose, sum_over_ranks, partial(train_boxes, choose=choose), train_masks
    )


def train_boxes(
    network: Network,
    maps: list[Array],
    proposals: list[Proposals],
    batch: Batch,
    share: Share,
    choose: Choose = choose_own,
) -> tuple[Terms, list[Run], None]:
    """Runs the box heads one after the other, each on regions sampled among what the one before made of its own.

    Returns this rank's shares of the terms `classesN` and `boxesN` of each stage N, from 1, and the stages' regions.
    """
    terms: Terms = {}
    runs: list[Run] = []
    stages = stages_of(network)
    sizes = [tuple(size) for size in batch["host.image_size"].tolist()]
    for number, stage in enumerate(stages, start=1):
        sampled = training.sample(proposals, batch, stage.settings, number - 1)
        arrays = _arrange(sampled, batch, like=maps[0])
        rois, labels = arrays["rois"], arrays["labels"]
        outputs = run_boxes(stage, maps, rois)
        logits, deltas = outputs["class_logits"], outputs["box_deltas"]
        classes, boxes = compute_stage_losses(logits, deltas, **arrays, settings=stage.settings)
        part = share(sum(len(each.boxes) for each in sampled)) * stage.settings.stages[number - 1].loss_weight
        terms[f"classes{number}"] = classes * part
        terms[f"boxes{number}"] = boxes * (part * stage.settings.losses.box_weight)
        runs.append((sampled, outputs["box_features"]))
        if number < len(stages):
            moved = namespace(rois).to_numpy(refine(stage, rois, logits, deltas, labels, sizes))
            proposals = choose(f"proposals{number + 1}", _without_objects(sampled, moved))
    return terms, runs, None


def train_masks(
    network: Network, maps: list[Array], runs: list[Run], box_features: None, batch: Batch, share: Share
) -> Terms:
    """Runs each stage's mask head on its positive regions: this rank's shares of the terms `masksN`."""
    terms: Terms = {}
    for number, (stage, (sampled, features)) in enumerate(zip(stages_of(network), runs, strict=True), start=1):
        term = training.train_masks(stage, maps, sampled, features, batch, share)["masks"]
        terms[f"masks{number}"] = term * stage.settings.stages[number - 1].loss_weight
    return terms


def _arrange(sampled: list[Regions], batch: Batch, like: Array) -> dict[str, Array]:
    """What `compute_stage_losses` asks for of the regions of all images.

    No rows fill them up: those would be seen by the box heads' norms. Of a batch without any region there is one, which
    counts nowhere.
    """
    xp = namespace(like)
    ends = np.cumsum(batch["host.counts"])[:-1]
    boxes = []
    for regions, of_image in zip(sampled, np.split(batch["host.boxes"], ends), strict=True):
        goals = np.zeros_like(regions.boxes)
        goals[: len(regions.objects)] = of_image[regions.objects]
        boxes.append(goals)
    rows = {
        "rois": join_rois([each.boxes for each in sampled]),
        "labels": np.concatenate([each.labels for each in sampled]),
        "offsets": np.concatenate([each.targets for each in sampled]),
        "boxes": np.concatenate(boxes),
    }
    if not len(rows["rois"]):
        rows = {name: np.zeros((1, *array.shape[1:]), array.dtype) for name, array in rows.items()}
        rows["labels"] = np.full(1, -1, np.int32)
    return {name: xp.asarray(array, like=like) for name, array in rows.items()}


def _without_objects(sampled: list[Regions], moved: np.ndarray) -> list[Proposals]:
    """The next stage's proposals: the moved boxes (R, 4) of all images, without those of the objects themselves."""
    proposals, start = [], 0
    for regions in sampled:
        kept = np.flatnonzero(~regions.of_objects)
        boxes = moved[start + kept]
        proposals.append(Proposals(boxes, np.zeros(len(kept), np.float32), regions.rows[kept]))
        start += len(regions.boxes)
    return proposals
