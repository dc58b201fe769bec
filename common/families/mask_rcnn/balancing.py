"""Sampling labelled boxes in a balance of positives and negatives."""

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
    return _smallest(positives, keys[positives], wanted), _smallest(negatives, keys[negatives], count - wanted)


def _smallest(members: np.ndarray, keys: np.ndarray, count: int) -> np.ndarray:
    """The members with the `count` smallest keys, in their own order; does not sort, as there are very many."""
    if count >= len(members):
        return members
    last = np.partition(keys, count)[count]  # of the keys in order the first that is not taken
    taken = keys < last
    equals = np.flatnonzero(keys == last)[: count - np.count_nonzero(taken)]
    taken[equals] = True
    return members[taken]
