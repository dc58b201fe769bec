"""In which order the samples of an epoch come."""

import numpy as np

from common.training.randomness import stream


def epoch_order(length: int, batch_size: int, seed: int, epoch: int, groups: np.ndarray | None = None) -> np.ndarray:
    """(length,): each sample once, drawn for this epoch alone.

    With groups (length,) int, whole batches are of one group, and come in the order in which their first samples were
    drawn; what fills no batch of its group stands at both ends. Epochs follow each other without a gap, so that a batch
    may begin in the one before.
    """
    drawn = stream(seed, epoch, "order").permutation(length)
    if groups is None:
        return drawn
    rank = np.empty(length, np.int64)
    rank[drawn] = np.arange(length)
    begun = -epoch * length % batch_size  # places that the last batch of the epoch before has left
    batches, rest = [], []
    for group in np.unique(groups):
        members = drawn[groups[drawn] == group]
        whole = len(members) // batch_size * batch_size
        batches += list(members[:whole].reshape(-1, batch_size))
        rest.append(members[whole:])
    batches.sort(key=lambda batch: rank[batch[0]])
    while sum(map(len, rest)) < min(begun, length):
        rest.append(batches.pop())
    left = np.concatenate(rest)
    left = left[np.argsort(rank[left])]
    return np.concatenate([left[:begun], *batches, left[begun:]])
