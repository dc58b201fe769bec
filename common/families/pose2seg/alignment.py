"""Aligns persons with pose templates, many persons at once.

A person's features and mask are squares of `align_size` cells in which the person's key points lie near those of a
template. A matrix (2, 3) maps points of the feature map, or of the image, to cells of the square; coordinates count
cells from the middle of the first.
"""

from dataclasses import dataclass

import numpy as np

from common.families.pose2seg import affine
from common.families.pose2seg.templates import Templates

# One or two points fit any template, since a similarity maps them to any other two.
_FEWEST_POINTS = 3


@dataclass
class Alignment:
    """The alignment of P persons.

    matrices: (P, 2, 3) float32, from the source square to the target's; scores: (P,) float64, how well the template
    fits, from 0 to 1; templates: (P,) int64, the template's index, or -1 for the plain resize.
    """

    matrices: np.ndarray
    scores: np.ndarray
    templates: np.ndarray


def align(keypoints: np.ndarray, templates: Templates, source: int, target: int) -> Alignment:
    """Aligns persons (P, K, 3) x, y, visibility in a square of `source` cells to one of `target` cells.

    A template fits a person that has at least three key points and all of them in common with the template. Its map is
    the similarity with the least squared distances d from the person's points to the template's. Its score is
    sum(exp(-d^2 / 2)) / n, summed over the person's points, with d in sides of the template's square and n the number
    of the template's points. Templates that enlarge the person more than the plain resize does compete; the best score
    wins, and of equals the first template. If none competes, the plain resize of the whole square is used.
    """
    seen = keypoints[..., 2] > 0
    maps = _fit_similarities(keypoints[..., :2].astype(np.float64), seen, templates.points)
    scores = _score_templates(keypoints, seen, maps, templates)
    resize = affine.centred_resize((source, source), (target, target))
    maps = target * maps
    scales = np.hypot(maps[..., 0, 0], maps[..., 0, 1]).astype(np.float32)
    scores = np.where(scales > np.float32(resize[0, 0]), scores, 0.0)
    best = scores.argmax(axis=1)
    persons = np.arange(len(keypoints))
    has_template = scores[persons, best] > 0
    return Alignment(
        matrices=np.where(has_template[:, None, None], maps[persons, best], resize).astype(np.float32),
        scores=scores[persons, best],
        templates=np.where(has_template, best, -1),
    )


def _fit_similarities(points: np.ndarray, seen: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Fits similarities (P, T, 2, 3) from each person's seen points to the same points of each template.

    points: (P, K, 2); seen: (P, K) bool; targets: (T, K, 2). With the points p and the targets t about their means, a =
    sum(px tx + py ty) / sum(p^2) and b = sum(py tx - px ty) / sum(p^2) make the map x' = a x + b y, y' = a y - b x of
    the least squares, to which the shift between the means is added. It means nothing where a template lacks a point.
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
    # Points that all lie in one place allow many maps; the original's solver takes the one with the smallest numbers.
    x, y = centres.T[:, :, None]
    one_place = spread <= 1e-12 * (x * x + y * y)
    spread = np.where(one_place, x * x + y * y + 1, spread)
    target_x, target_y = np.moveaxis(target_centres, -1, 0)
    a = np.where(one_place, target_x * x + target_y * y, along) / spread
    b = np.where(one_place, target_x * y - target_y * x, across) / spread
    shift_x, shift_y = target_x - a * x - b * y, target_y + b * x - a * y
    return np.stack([np.stack([a, b, shift_x], axis=-1), np.stack([-b, a, shift_y], axis=-1)], axis=-2)


def _score_templates(keypoints: np.ndarray, seen: np.ndarray, maps: np.ndarray, templates: Templates) -> np.ndarray:
    """Scores the templates for each person, (P, T), 0 where a template does not fit; the formula is in `align`."""
    count = seen.sum(axis=1)[:, None]
    fits = (count >= _FEWEST_POINTS) & ~(seen.astype(np.int64) @ ~templates.has.T).astype(bool)
    moved = np.einsum("ptij,pkj->ptki", maps[..., :2], keypoints[..., :2].astype(np.float64)) + maps[:, :, None, :, 2]
    likeness = np.exp(-((moved - templates.points) ** 2).sum(axis=-1) / 2)
    total = np.einsum("pk,ptk->pt", seen.astype(np.float64), likeness)
    return np.where(fits, total / np.maximum(templates.has.sum(axis=1), 1), 0.0)


def make_sampling_grid(matrices: np.ndarray, source: int, target: int) -> np.ndarray:
    """Makes the grid (P, target, target, 2) float32 x, y that tells where an aligned cell lies in the feature map.

    matrices: (P, 2, 3), from the map's `source` x `source` cells to the aligned ones. In the grid's units the middles
    of the map's outermost cells are at -1 and 1 (`align_corners=True`), but the matrix's shift is converted as if its
    borders were there: a slip of the original with which the published weights were trained.
    """
    back = affine.invert(matrices)
    linear, shift = back[..., :2] * (2 / (source - 1)), back[..., 2] * (2 / source) - 1
    steps = np.arange(target)[:, None]
    across, down = linear[:, None, :, 0] * steps, linear[:, None, :, 1] * steps + shift[:, None]
    return (across[:, None] + down[:, :, None]).astype(np.float32)
