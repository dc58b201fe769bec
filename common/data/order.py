"""Draws the order of an epoch's samples."""

import numpy as np

from common.training.randomness import stream


def epoch_order(length: int, batch_size: int, seed: int, epoch: int, groups: np.ndarray | None = None) -> np.ndarray:
    """Draws the order in which an epoch takes its samples: (length,) indices, each once.

    With groups (length,) int, a batch holds samples of one group, and batches are sorted by when their first sample was
    drawn. Samples that fill no batch of their group stand at both ends: epochs follow each other without a gap, so the
    first samples complete the last batch of the epoch before, and the last ones begin a batch of the next.
    """
    drawn = stream(seed, epoch, "order").permutation(length)
    if groups is None:
        return drawn
    rank = np.empty(length, np.int64)
    rank[drawn] = np.arange(length)
    open_places = -epoch * length % batch_size  # in the last batch of the epoch before
    batches, rest = [], []
    for group in np.unique(groups):
        members = drawn[groups[drawn] == group]
        whole = len(members) // batch_size * batch_size
        batches += list(members[:whole].reshape(-1, batch_size))
        rest.append(members[whole:])
    batches.sort(key=lambda batch: rank[batch[0]])
    while sum(map(len, rest)) < min(open_places, length):
        rest.append(batches.pop())
    remainder = np.concatenate(rest)
    remainder = remainder[np.argsort(rank[remainder])]
    return np.concatenate([remainder[:open_places], *batches, remainder[open_places:]])
