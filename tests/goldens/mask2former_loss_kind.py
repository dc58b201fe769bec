"""The kind mask2former_loss: costs, pairs, points, losses and their gradients, at the case's own random points."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np

from common.array import Array
from common.families.mask2former.matching import (
    Pairs,
    Prediction,
    compute_costs,
    compute_mask_costs,
    gather_segments,
    pair_up,
)
from common.families.mask2former.settings import Mask2FormerSettings
from common.families.mask2former.training import compute_terms, read_pairs
from common.models import load_settings
from common.points import read_masks
from tests.goldens import golden

Answers = dict[str, np.ndarray]


@dataclass(frozen=True)
class _Case:
    """One of the case's cases, which stands where the points of a step are drawn.

    Its pairs, and what is drawn for them, are in the order of the queries. It has the last prediction first.
    """

    settings: Mask2FormerSettings
    arrays: Answers
    images: int
    endings: list[str]  # of the names of each prediction, from the first on
    pairs: list[Pairs] | None = None

    def of_images(self, prediction: int) -> np.ndarray:
        return np.concatenate([self._drawn(prediction, image) for image in range(self.images)])

    def of_pairs(self, prediction: int, counts: Sequence[int]) -> list[np.ndarray]:
        place = np.argsort(self.order(prediction))
        return [self._drawn(prediction, call)[place] for call in (self.images, self.images + 1)]

    def order(self, prediction: int) -> np.ndarray:
        """The pairs in the order of their queries."""
        return np.argsort(self.queries(prediction))

    def queries(self, prediction: int) -> np.ndarray:
        images, queries, _ = self.arrays["pred_logits"].shape
        return self.pairs[prediction].cells % (images * queries)

    def _drawn(self, prediction: int, call: int) -> np.ndarray:
        turn = (prediction + 1) % len(self.endings)
        return self.arrays[f"rand_{turn * (self.images + 2) + call}"]

    def batch(self, xp: ModuleType, like: Array) -> dict[str, Array]:
        labels, masks = ([self.arrays[f"{part}_{k}"] for k in range(self.images)] for part in ("labels", "masks"))
        whole = np.concatenate(masks).astype(np.int32)
        counts = np.array([len(each) for each in labels], np.int32)
        used = np.minimum(counts, self.arrays["pred_logits"].shape[1])
        free = self.arrays["pred_logits"].shape[1] - used
        return {
            "masks": xp.asarray(whole if len(whole) else np.zeros((1, *whole.shape[1:]), np.int32), like),
            "host.labels": np.concatenate(labels).astype(np.int32),
            "host.counts": counts,
            "normaliser.masks": xp.asarray(np.float32(counts.sum()), like),
            "normaliser.classes": xp.asarray(
                np.float32((used + self.settings.losses.no_object_weight * free).sum()), like
            ),
        }


def loss(case: Path, framework: str, device: str, xp: ModuleType, like: Array, folder: Path) -> Answers:
    manifest, arrays = golden.manifest(case), golden.arrays(case)
    answers = {}
    for name, given in manifest["cases"].items():
        own = {key.removeprefix(f"in.{name}."): array for key, array in arrays.items() if key.startswith(f"in.{name}.")}
        overrides = [f"network.decoder_layers={given['auxiliary']}", f"losses.points={given['num_points']}"]
        endings = [*(f"_{number}" for number in range(given["auxiliary"])), ""]
        made = _Case(load_settings(manifest["model"], overrides), own, given["images"], endings)
        answers |= {f"{name}.{key}": value for key, value in _answers(made, framework, xp, like).items()}
    return answers


def _answers(case: _Case, framework: str, xp: ModuleType, like: Array) -> Answers:
    answers: Answers = {}
    batch, settings = case.batch(xp, like), case.settings
    flat = [xp.asarray(case.arrays[name + ending], like) for ending in case.endings for name in _PREDICTED]
    segments = gather_segments(batch, like)
    costs = compute_costs(_pairwise(flat), segments, case, settings.losses)
    case = replace(case, pairs=[pair_up(each, segments) for each in costs])
    for number, (ending, of_prediction) in enumerate(zip(case.endings, costs, strict=True)):
        answers |= {f"cost{ending}.{image}": cost for image, cost in enumerate(of_prediction)}
        answers |= {f"matched{ending}.{image}": found for image, found in enumerate(_matched(case, number))}
        answers |= {key + ending: value for key, value in _points(case, number, flat, batch, xp).items()}
    answers |= _mask_costs(case, xp, like)

    def total(*flat: Array) -> Array:
        return sum(compute_terms(_pairwise(flat), batch, case, settings).values())

    terms = compute_terms(_pairwise(flat), batch, case, settings)
    weights = [weight for _, weight in settings.loss_terms().values()]
    answers["losses"] = np.array([xp.to_numpy(x).item() for x in terms.values()]) / weights
    answers["total"] = np.array(xp.to_numpy(total(*flat)).item())
    if framework != "numpy":
        _, gradients = xp.value_and_grad(total, *flat)
        names = [name + ending for ending in case.endings for name in ("grad_logits", "grad_masks")]
        answers |= {name: xp.to_numpy(gradient) for name, gradient in zip(names, gradients, strict=True)}
    return answers


_PREDICTED = ("pred_logits", "pred_masks")


def _pairwise(flat: Sequence[Array]) -> list[Prediction]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def _matched(case: _Case, prediction: int) -> list[np.ndarray]:
    """Of each image the pairs (R, 2) of a query and a segment, in the order of the queries."""
    images, queries, _ = case.arrays["pred_logits"].shape
    order, asked = case.order(prediction), case.queries(prediction)
    segments, start, found = case.pairs[prediction].cells // (images * queries), 0, []
    for image in range(images):
        own = order[asked[order] // queries == image]
        found.append(np.stack([asked[own] % queries, segments[own] - start], axis=1))
        start += len(case.arrays[f"labels_{image}"])
    return found


def _points(case: _Case, prediction: int, flat: list[Array], batch: dict[str, Array], xp: ModuleType) -> Answers:
    """The points of the pairs, in the order of the queries, with what is read there; the unsure ones by x."""
    settings, masks = case.settings.losses, flat[2 * prediction + 1]
    names = ("points", "point_logits", "point_labels")
    pairs = case.pairs[prediction]
    if not len(pairs.cells):
        return {name: np.zeros((0, settings.points, *[2] * (name == "points")), np.float32) for name in names}
    drawn = case.of_pairs(prediction, [])
    read = read_pairs(masks, pairs, gather_segments(batch, masks), drawn, settings.unsure, lambda own: own)
    arrays = [xp.to_numpy(each)[case.order(prediction)] for each in read]
    others = np.arange(settings.unsure, settings.points)
    orders = [np.concatenate([np.argsort(row[: settings.unsure, 0]), others]) for row in arrays[0]]
    return {
        name: np.stack([row[order] for row, order in zip(array, orders, strict=True)])
        for name, array in zip(names, arrays, strict=True)
    }


def _mask_costs(case: _Case, xp: ModuleType, like: Array) -> Answers:
    """The masks' two costs of the last prediction, of each image."""
    answers, last = {}, len(case.endings) - 1
    queries = case.arrays["pred_logits"].shape[1]
    for image, positions in enumerate(case.of_images(last)):
        at = xp.asarray(positions[None], like)
        logits = read_masks(xp.asarray(case.arrays["pred_masks"][image : image + 1], like), at)[0]
        costs = [np.zeros((queries, 0), np.float32)] * 2
        if len(case.arrays[f"labels_{image}"]):
            truth = read_masks(xp.asarray(case.arrays[f"masks_{image}"][None].astype(np.float32), like), at)[0]
            costs = [xp.to_numpy(each) for each in compute_mask_costs(logits, truth)]
        answers |= {f"cost_mask.{image}": costs[0], f"cost_dice.{image}": costs[1]}
    return answers
