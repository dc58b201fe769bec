"""Which prior answers for which object: every object claims one."""

import numpy as np


def claim_best(overlaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each object claims its best prior, whatever the overlap: overlaps (M, P) -> objects (M,), priors (M,), in order.

    The highest overlap is served first, and a claimed prior is gone for the others. Of equal overlaps the first
    object and the first prior win.
    """
    best = overlaps.argmax(axis=1)
    value = np.take_along_axis(overlaps, best[:, None], axis=1)[:, 0]
    objects, priors = np.empty(len(overlaps), np.int64), np.empty(len(overlaps), np.int64)
    for turn in range(len(overlaps)):
        chosen = value.argmax()
        objects[turn], priors[turn] = chosen, best[chosen]
        value[chosen] = -np.inf
        for loser in np.nonzero((best == best[chosen]) & (value > -np.inf))[0]:
            free = overlaps[loser].copy()
            free[priors[: turn + 1]] = -1
            best[loser] = free.argmax()
            value[loser] = free[best[loser]]
    return objects, priors
