"""The kinds of PointRend: the network through the wing's own trace command, and the losses of its two mask heads.

The losses are answered in both variants, of which the farther answer counts.
"""

import importlib
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from common.array import Array
from common.commands import trace
from common.families.mask_rcnn.detection import Detections
from common.families.mask_rcnn.heads import fill_up
from common.families.mask_rcnn.losses import compute_mask_loss
from common.families.mask_rcnn.outlines import Outline
from common.families.mask_rcnn.targets import pool_bitmap_targets
from common.families.point_rend.heads import FILLER_BOX, find_masks, run_points
from common.families.point_rend.settings import PointRendSettings
from common.families.point_rend.training import Rows, compute_mask_terms
from common.models import load_settings
from common.training.choices import Choose
from common.training.ranks import SumOverRanks
from tests.frameworks import wing_of
from tests.goldens import golden
from weights_convert.families import family_of
from weights_convert.writers import write_pth

Answers = dict[str, np.ndarray]
VARIANTS = ("index", "mask")
# The case's gradients are stored so many times as large.
GRADIENTS = 1000.0
_HEAD = "roi_heads.mask_head."


def forward(case: Path, framework: str, device: str, xp: ModuleType, like: Array, folder: Path) -> Answers:
    """The checkpoint as the original wrote it, through the converter and the wing's trace command."""
    manifest, arrays = golden.manifest(case), golden.arrays(case)
    image = manifest["inputs"]["image"]
    inputs, weights, outputs = folder / "inputs.npz", folder / "weights.pth", folder / "outputs.npz"
    given = {name.removeprefix("in."): array for name, array in arrays.items() if name.startswith("in.")}
    given["rois"] = np.pad(given["rois"], ((0, 0), (1, 0)))
    np.savez(inputs, image=golden.image(image["seed"], image["shape"]), **given)
    write_pth(weights, golden.checkpoint(case))
    arguments = [manifest["model"], "--weights", weights, "--inputs", inputs, "--outputs", outputs, "--device", device]
    trace.main(wing_of(framework), list(map(str, arguments)))
    answers = dict(np.load(outputs))
    network = wing_of(framework).load_learner()(load_settings(manifest["model"]), device).network
    found = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), *np.zeros((2, 0), np.int32))
    (nothing,) = find_masks(network, [like], [found])
    return answers | {"mask_probs_no_roi": nothing.probabilities[:, None]}


def loss(case: Path, framework: str, device: str, xp: ModuleType, like: Array, folder: Path) -> Answers:
    """The two terms on the given map and random numbers, and their gradients; of two variants the worse answer."""
    manifest, arrays = golden.manifest(case), golden.arrays(case)
    of_variant = [_loss(case, manifest, arrays, variant, framework, device, xp, like) for variant in VARIANTS]
    return {name: _farther(*(each[name] for each in of_variant), arrays, name, manifest) for name in of_variant[0]}


def _farther(first: np.ndarray, second: np.ndarray, arrays: Answers, name: str, manifest: dict) -> np.ndarray:
    """The one of two answers that is farther from the case's."""
    if name not in manifest["outputs"]:
        return first
    output, stored = manifest["outputs"][name], arrays[f"out.{name}"]
    return max((first, second), key=lambda each: golden.distance(golden.as_stored(each, output), stored))


def _loss(
    case: Path, manifest: dict, arrays: Answers, variant: str, framework: str, device: str, xp: ModuleType, like: Array
) -> Answers:
    settings, learner = _make_learner(manifest, variant, framework, device)
    given = manifest["inputs"]["p2"]
    p2 = golden.image(given["seed"], given["shape"])
    rows, own = _arrange(arrays, settings)
    labels, network = rows.labels[own], learner.network
    terms, found = compute_mask_terms(network, [xp.asarray(p2, like)], rows)
    made = {name: xp.to_numpy(array)[own] for name, array in found.items()}
    made["point_logits"] = made["point_logits"][np.arange(len(labels)), labels]
    order = _by_x(made["points"], settings.points.unsure)
    answers = {name: np.stack([x[of] for x, of in zip(made[name], order, strict=True)]) for name in _BY_POINT}
    answers["coarse_logits"] = made["coarse_logits"]
    answers["losses"] = np.array([xp.to_numpy(terms[name]).item() for name in ("masks", "points")])
    answers["coarse_targets_soft"] = _soft_targets(rows, own, settings)
    # MindSpore keeps of a compiled function the gradient by those of its inputs that were asked for first.
    with importlib.import_module(f"{framework}_impl.layers").unfolded():
        by_logits = _gradients_by_coarse_logits(network, xp.asarray(p2, like), rows, found, xp)
        for prefix, term in (("coarse", "masks"), ("point", "points")):
            gradients = _gradients(learner, p2, rows, term, xp, like) | {"coarse_logits": by_logits[term][own]}
            answers |= {f"{prefix}_grad_{name}": GRADIENTS * gradient for name, gradient in gradients.items()}
    return answers


_BY_POINT = ("points", "point_labels", "point_logits")


def _make_learner(manifest: dict, variant: str, framework: str, device: str) -> tuple[PointRendSettings, Any]:
    """The case's settings, with a handful of rows for an image, and a learner with the weights of the rule."""
    count = manifest["reference"]["settings"]["MODEL.POINT_HEAD.TRAIN_NUM_POINTS"]
    changed = [f"variant={variant}", f"points.count={count}", "losses.regions_per_image=16"]
    settings = load_settings(manifest["model"], changed)
    learner = wing_of(framework).load_learner()(settings, device, training=True)
    entries = family_of(settings).layout(settings, "detectron2")
    learner.load_weights({entry.canonical: golden.weight(entry.original, entry.shape) for entry in entries})
    return settings, learner


def _arrange(arrays: Answers, settings: PointRendSettings) -> tuple[Rows, list[int]]:
    """The case's objects in the variant's rows, and which of the rows they are."""
    counts = [len(arrays[f"in.proposals_{image}"]) for image in (0, 1)]
    slots = [int(settings.losses.regions_per_image * settings.losses.positive_regions)] * 2
    slots = slots if settings.variant == "mask" else counts
    ends = np.cumsum(counts)[:-1]
    uniform = [np.split(arrays[f"in.uniform_{part}"], ends) for part in "ab"]
    nothing = Outline(bitmap=np.zeros((1, 1), np.uint8))
    parts: dict[str, list] = {}
    outlines = []
    for image, (count, slot) in enumerate(zip(counts, slots, strict=True)):
        boxes, masks = arrays[f"in.proposals_{image}"], arrays[f"in.gt_masks_{image}"]
        soft = pool_bitmap_targets(masks, np.arange(count), boxes, settings.network.coarse_size, settings.rules)
        values = {"boxes": (boxes, FILLER_BOX), "labels": (arrays[f"in.gt_classes_{image}"], -1)}
        values |= {"targets": ((soft >= 0.5).astype(np.float32), 0)}
        values |= {"candidates": (uniform[0][image], 0.5), "fresh": (uniform[1][image], 0.5)}
        for name, (array, filling) in values.items():
            parts.setdefault(name, []).append(fill_up(array, slot, filling))
        outlines += [Outline(bitmap=mask) for mask in masks] + [nothing] * (slot - count)
    rows = Rows(**{name: np.concatenate(each) for name, each in parts.items()}, counts=slots, outlines=outlines)
    return rows, np.flatnonzero(rows.labels >= 0).tolist()


def _by_x(points: np.ndarray, unsure: int) -> list[np.ndarray]:
    """The order of each row's points (K, P, 2) in which the case has them: the unsure ones by x, then the others."""
    others = np.arange(unsure, points.shape[1])
    return [np.concatenate([np.argsort(of_row[:unsure, 0]), others]) for of_row in points]


def _soft_targets(rows: Rows, own: list[int], settings: PointRendSettings) -> np.ndarray:
    """The coarse targets before they become 0 or 1."""
    side, rules = settings.network.coarse_size, settings.rules
    masks = [(rows.outlines[row].bitmap[None], rows.boxes[row : row + 1]) for row in own]
    return np.concatenate([pool_bitmap_targets(mask, np.zeros(1), box, side, rules) for mask, box in masks])


def _gradients_by_coarse_logits(
    network: Any, p2: Array, rows: Rows, found: dict[str, Array], xp: ModuleType
) -> dict[str, np.ndarray]:
    """The gradient of each term by the coarse logits (K, C, m, m), with the points that were chosen."""
    boxes, labels, targets = (xp.asarray(x, p2) for x in (rows.boxes, rows.labels, rows.targets))
    points, point_labels = (xp.asarray(xp.to_numpy(found[name]), p2) for name in ("points", "point_labels"))

    def of_points(coarse: Array) -> Array:
        logits = run_points(network, [p2], boxes, rows.counts, points, coarse)["point_logits"]
        return compute_mask_loss(logits, labels, point_labels)

    coarse = xp.asarray(xp.to_numpy(found["coarse_logits"]), p2)
    functions = {"masks": lambda x: compute_mask_loss(x, labels, targets), "points": of_points}
    return {name: xp.to_numpy(xp.value_and_grad(function, coarse)[1][0]) for name, function in functions.items()}


def _gradients(
    learner: Any, p2: np.ndarray, rows: Rows, term: str, xp: ModuleType, like: Array
) -> dict[str, np.ndarray]:
    """The gradient of one term by p2 and by every weight, under the case's names for these."""

    def losses(network: Any, batch: dict[str, Array], choose: Choose, sum_over_ranks: SumOverRanks) -> dict[str, Array]:
        return {term: compute_mask_terms(network, [batch["image"]], rows)[0][term]}

    learner._family = replace(learner._family, losses=losses)
    _, by_name = learner.gradients({"image": p2})

    def of_map(x: Array) -> Array:
        return compute_mask_terms(learner.network, [x], rows)[0][term]

    _, (by_map,) = xp.value_and_grad(of_map, xp.asarray(p2, like))
    entries = family_of(learner.settings).layout(learner.settings, "detectron2")
    named = {entry.original: by_name[entry.canonical] for entry in entries if entry.canonical in by_name}
    heads = {name.removeprefix(_HEAD): gradient for name, gradient in named.items() if name.startswith(_HEAD)}
    return heads | {"p2": xp.to_numpy(by_map)}
