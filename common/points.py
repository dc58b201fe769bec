"""Masks at points, which are (x, y) in 0..1 of the mask: what they are there, and which points to train them on.

The cell in row i and column j of a mask (h, w) has its centre at ((j + 0.5) / w, (i + 0.5) / h).
"""

from collections.abc import Callable
from dataclasses import dataclass

from common.array import Array, namespace


@dataclass(frozen=True)
class ChosenPoints:
    """The candidates that a step trains on: their positions (K * P,) among those of all masks."""

    rows: Array


def read_masks(masks: Array, points: Array) -> Array:
    """Reads masks (K, C, h, w) at points (K, P, 2), bilinearly and with zeros outside -> (K, C, P)."""
    xp = namespace(masks)
    return xp.grid_sample(masks, 2.0 * points[:, :, None] - 1.0)[..., 0]


def choose_points(
    logits: Array, candidates: Array, fresh: Array, unsure: int, choose: Callable[[ChosenPoints], ChosenPoints]
) -> Array:
    """The points (K, P, 2) to train masks on: of the candidates (K, C, 2) the `unsure` unsurest, then the fresh ones.

    How sure a candidate is, is how far its logit is from 0: the masks' logits (K, h, w) are read at the point, and the
    absolute value is taken then. No gradient flows through the choice; the step goes on with what `choose` gives for
    its own.
    """
    xp = namespace(logits)
    count, drawn = candidates.shape[:2]
    sureness = xp.abs(read_masks(xp.stop_gradient(logits)[:, None], candidates)[:, 0])
    _, unsurest = xp.topk(-sureness, unsure)
    own = xp.reshape(unsurest + drawn * xp.arange(count, like=logits)[:, None], (-1,))
    chosen = choose(ChosenPoints(own)).rows
    taken = xp.reshape(xp.take(xp.reshape(candidates, (-1, 2)), chosen), (count, unsure, 2))
    return xp.concatenate([taken, fresh], axis=1)
