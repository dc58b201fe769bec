"""Gives every object a prior of its own."""

import numpy as np


def claim_best(overlaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Assigns each of M objects one of P priors by their overlaps (M, P), however small these are.

    Returns objects (M,) and priors (M,), pair by pair in the order in which they were made. The highest overlap left is
    taken first; its object and its prior are then gone for the others. Of equal overlaps the first object and the first
    prior win.
    """
    best = overlaps.argmax(axis=1)
    value = np.take_along_axis(overlaps, best[:, None], axis=1)[:, 0]
    objects, priors = np.empty(len(overlaps), np.int64), np.empty(len(overlaps), np.int64)
    for turn in range(len(overlaps)):
        winner = value.argmax()
        objects[turn], priors[turn] = winner, best[winner]
        value[winner] = -np.inf
        for loser in np.nonzero((best == best[winner]) & (value > -np.inf))[0]:
            free = overlaps[loser].copy()
            free[priors[: turn + 1]] = -1
            best[loser] = free.argmax()
            value[loser] = free[best[loser]]
    return objects, priors
