"""Two lists of names in the order of a computation: which of the one belongs to which of the other."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np


def align(worth: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (row, column) of the worth (rows, columns) in the order of both, worth the most when added up.

    A pair that is worth nothing is none.
    """
    rows, columns = worth.shape
    best = np.zeros((rows + 1, columns + 1))  # [i, j]: of the first i rows and the first j columns
    for row in range(rows):
        paired = np.where(worth[row] > 0.0, best[row, :-1] + worth[row], 0.0)
        best[row + 1, 1:] = np.maximum.accumulate(np.maximum(best[row, 1:], paired))
    pairs, row, column = [], rows, columns
    while row and column:
        if best[row, column] == best[row - 1, column]:
            row -= 1
        elif best[row, column] == best[row, column - 1]:
            column -= 1
        else:
            row, column = row - 1, column - 1
            pairs.append((row, column))
    return pairs[::-1]


def gaps(
    ours: Sequence[str], theirs: Sequence[str], anchors: Mapping[str, str]
) -> list[tuple[list[str], list[str], bool]]:
    """The names of both lists between neighbouring anchors, and whether no anchor follows; anchors are in no gap.

    anchors: pairs of names, {ours: theirs}. Where two computations do parts in another order, the anchors that count
    are the most that have one order in both.
    """
    position = {name: index for index, name in enumerate(theirs)}
    pairs = [(index, position[anchors[name]]) for index, name in enumerate(ours) if name in anchors]
    edges = [(-1, -1), *_rising(pairs), (len(ours), len(theirs))]
    return [
        (list(ours[row + 1 : next_row]), list(theirs[column + 1 : next_column]), next_row == len(ours))
        for (row, column), (next_row, next_column) in pairwise(edges)
    ]


def _rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest selection of pairs, whose first numbers rise, in which the second numbers rise too."""
    lengths, before = [], []
    ends: list[int] = []  # ends[n]: the pair at the end of a selection of n + 1 pairs, with the smallest second number
    for index, (_, second) in enumerate(pairs):
        length = int(np.searchsorted([pairs[end][1] for end in ends], second))
        before.append(ends[length - 1] if length else -1)
        lengths.append(length)
        ends[length : length + 1] = [index]
    chosen, index = [], ends[-1] if ends else -1
    while index >= 0:
        chosen.append(pairs[index])
        index = before[index]
    return chosen[::-1]
