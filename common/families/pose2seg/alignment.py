"""Brings persons into the place where a pose template has its key points: many persons at once.

A person's features and mask are squares of `align_size` cells. Matrices (P, 2, 3) map from the feature map, from the
image, to the cells of this square; a coordinate counts whole cells from the middle of the first.
"""

from dataclasses import dataclass

import numpy as np

from common.families.pose2seg import affine
from common.families.pose2seg.templates import Templates

# Fewer say nothing, or leave two maps.
_FEWEST_POINTS = 3


@dataclass
class Alignment:
    """matrices: (P, 2, 3) float32 from the source square to the target's; scores: (P,) float64 from 0 to 1, how well
    the template fits; templates: (P,) int64, -1 where the plain resize is used."""

    matrices: np.ndarray
    scores: np.ndarray
    templates: np.ndarray


def align(keypoints: np.ndarray, templates: Templates, source: int, target: int) -> Alignment:
    """Aligns persons (P, K, 3) x, y, visibility in a square of `source` cells to one of `target` cells.

    A template fits a person where it has all of the person's key points, at least three. The map is the similarity of
    the least squares, the score the mean over the points of exp(-d^2 / 2), d in sides of the template's square, times
    the share of the template's points that the person has. The best score wins among the templates that enlarge
    the person more than the plain resize does, of equals the first; where there is none it is the plain resize.
    """
    seen = keypoints[..., 2] > 0
    maps = _similarities(keypoints[..., :2].astype(np.float64), seen, templates.points)
    scores = _scores(keypoints, seen, maps, templates)
    resize = affine.centred_resize((source, source), (target, target))
    maps = target * maps
    scales = np.hypot(maps[..., 0, 0], maps[..., 0, 1]).astype(np.float32)
    scores = np.where(scales > np.float32(resize[0, 0]), scores, 0.0)
    best = scores.argmax(axis=1)
    persons = np.arange(len(keypoints))
    chosen = scores[persons, best] > 0
    return Alignment(
        matrices=np.where(chosen[:, None, None], maps[persons, best], resize).astype(np.float32),
        scores=scores[persons, best],
        templates=np.where(chosen, best, -1),
    )


def _similarities(points: np.ndarray, seen: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The least-squares similarities (P, T, 2, 3) from each person's seen points to the same points of each template.

    points: (P, K, 2); seen: (P, K); targets: (T, K, 2). Meaningful for templates that have all the points.
    """
    weights = seen / np.maximum(seen.sum(axis=1, keepdims=True), 1)  # (P, K)
    centres = np.einsum("pk,pkc->pc", weights, points)
    target_centres = np.einsum("pk,tkc->ptc", weights, targets)
    offsets = points - centres[:, None]
    spread = np.einsum("pk,pkc,pkc->p", weights, offsets, offsets)[:, None]
    weighted = weights[..., None] * offsets
    along = np.einsum("pkc,tkc->pt", weighted, targets)
    across = np.einsum("pk,tk->pt", weighted[..., 1], targets[..., 0])
    across -= np.einsum("pk,tk->pt", weighted[..., 0], targets[..., 1])
    # Points that all lie in one place leave many maps; as in the original, the one of the smallest numbers.
    x, y = centres.T[:, :, None]
    one_place = spread <= 1e-12 * (x * x + y * y)
    spread = np.where(one_place, x * x + y * y + 1, spread)
    target_x, target_y = np.moveaxis(target_centres, -1, 0)
    a = np.where(one_place, target_x * x + target_y * y, along) / spread
    b = np.where(one_place, target_x * y - target_y * x, across) / spread
    shift_x, shift_y = target_x - a * x - b * y, target_y + b * x - a * y
    return np.stack([np.stack([a, b, shift_x], axis=-1), np.stack([-b, a, shift_y], axis=-1)], axis=-2)


def _scores(keypoints: np.ndarray, seen: np.ndarray, maps: np.ndarray, templates: Templates) -> np.ndarray:
    """(P, T), 0 where a template does not fit."""
    count = seen.sum(axis=1)[:, None]
    fits = (count >= _FEWEST_POINTS) & ~(seen.astype(np.int64) @ ~templates.has.T).astype(bool)
    moved = np.einsum("ptij,pkj->ptki", maps[..., :2], keypoints[..., :2].astype(np.float64)) + maps[:, :, None, :, 2]
    likeness = np.exp(-((moved - templates.points) ** 2).sum(axis=-1) / 2)
    total = np.einsum("pk,ptk->pt", seen.astype(np.float64), likeness)
    return np.where(fits, total / np.maximum(templates.has.sum(axis=1), 1), 0.0)


def make_sampling_grid(matrices: np.ndarray, source: int, target: int) -> np.ndarray:
    """Where each aligned cell lies in the feature map: (P, target, target, 2) float32 x, y from -1 to 1.

    matrices: (P, 2, 3), from the map's `source` x `source` cells to the aligned ones. At -1 and 1 are the middles of
    the outermost cells (`align_corners=True`), while the matrix is turned into these units as if the map's borders were
    there: a slip of the original that the published weights were trained with.
    """
    back = affine.invert(matrices)
    linear, shift = back[..., :2] * (2 / (source - 1)), back[..., 2] * (2 / source) - 1
    steps = np.arange(target)[:, None]
    across, down = linear[:, None, :, 0] * steps, linear[:, None, :, 1] * steps + shift[:, None]
    return (across[:, None] + down[:, :, None]).astype(np.float32)
