"""Which of many labelled boxes train."""

import numpy as np


def sample_balanced(
    labels: np.ndarray, keys: np.ndarray, count: int, positive_share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Chooses at most `count` of the boxes, at most `positive_share` of them positive; negatives fill up.

    labels (N,): positive from 1 on, 0 negative, below 0 never chosen. keys (N,): random numbers; the smallest are
    chosen, of equals the first. Returns the positives' and the negatives' indices, each ascending.
    """
    positives, negatives = np.flatnonzero(labels > 0), np.flatnonzero(labels == 0)
    wanted = min(len(positives), int(count * positive_share))
    chosen = [
        np.sort(group[np.argsort(keys[group], kind="stable")[:limit]])
        for group, limit in ((positives, wanted), (negatives, count - wanted))
    ]
    return chosen[0], chosen[1]
