"""Two lists of names in the order of a computation: which of the one belongs to which of the other."""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise

import numpy as np

FEWEST = 3  # layers in a row whose kinds and channels are alike by no accident


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


@dataclass(frozen=True)
class Gap:
    """What stands between two neighbouring anchors in either list. is_last: whether no anchor follows."""

    ours: list[str]
    theirs: list[str]
    is_last: bool = False

    def only(self, ours: Container[str], theirs: Container[str]) -> "Gap":
        """The gap with those of its names that are given."""
        left, right = [name for name in self.ours if name in ours], [name for name in self.theirs if name in theirs]
        return Gap(left, right, self.is_last)

    def joined(self, behind: "Gap") -> "Gap":
        """This gap and one behind it as one."""
        return Gap(self.ours + behind.ours, self.theirs + behind.theirs, behind.is_last)


def gaps(ours: Sequence[str], theirs: Sequence[str], anchors: Mapping[str, str]) -> list[Gap]:
    """The names of both lists between neighbouring anchors, which are in no gap themselves.

    anchors: pairs of names, {ours: theirs}. Where two computations do parts in another order, the anchors that count
    are the most that have one order in both.
    """
    position = {name: index for index, name in enumerate(theirs)}
    pairs = [(index, position[anchors[name]]) for index, name in enumerate(ours) if name in anchors]
    edges = [(-1, -1), *_rising(pairs), (len(ours), len(theirs))]
    return [
        Gap(list(ours[row + 1 : next_row]), list(theirs[column + 1 : next_column]), next_row == len(ours))
        for (row, column), (next_row, next_column) in pairwise(edges)
    ]


def join_gaps(apart: Sequence[Gap], telling: Callable[[Gap], Gap], count: Callable[[Gap], int]) -> list[Gap]:
    """The gaps, of which neighbours are made one where what is in them belongs together.

    A shortcut that agrees is an anchor behind the layers that depart where one computation does the shortcut last, and
    before them where the other does it first: the two sides of these layers are in two gaps. Gaps become one where each
    of their layers then has a partner, or where more have and nothing agrees at the end. What one of two computations
    has alone, which agree otherwise, stays alone.

    telling: a gap with those of its names alone that can be paired by their kind; count: how many pairs such a gap has.
    """
    found: list[Gap] = []
    for gap in apart:
        found.append(gap)
        start = _start_of_whole(found, telling, count)
        found[start:] = [reduce(Gap.joined, found[start:])]
    if not found or not (found[-1].ours and found[-1].theirs):
        return found
    start = _start_of_most(found, telling, count)
    return [*found[:start], reduce(Gap.joined, found[start:])]


def _start_of_whole(apart: Sequence[Gap], telling: Callable[[Gap], Gap], count: Callable[[Gap], int]) -> int:
    """The number of the gap from which on to the last, taken together, every name has a partner; else of the last."""
    last = len(apart) - 1
    joined = telling(apart[last])
    alone = count(joined)
    for start in reversed(range(last if joined.ours or joined.theirs else 0)):
        gap = telling(apart[start])
        if gap.ours or gap.theirs:
            joined, alone = gap.joined(joined), alone + count(gap)
            if len(joined.ours) == len(joined.theirs) >= FEWEST and alone < count(joined) == len(joined.ours):
                return start
    return last


def _start_of_most(apart: Sequence[Gap], telling: Callable[[Gap], Gap], count: Callable[[Gap], int]) -> int:
    """The number of the gap from which on to the last, taken together, there are most pairs more than in each alone."""
    first = len(apart) - 1
    joined, alone, gained = Gap([], []), 0, 0
    for start in reversed(range(len(apart))):
        gap = telling(apart[start])
        if gap.ours or gap.theirs:
            joined, alone = gap.joined(joined), alone + count(gap)
            if count(joined) - alone > gained:
                first, gained = start, count(joined) - alone
    return first


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
