"""Gate 1 of two dumps: every layer of the reference held against the port's, and what may be missing."""

from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.foreign.pairing import Arrays, Pair
from benchmarks.parity.finding import Finding

# (name, kind, the reference's array, the port's) -> the finding
Judging = Callable[[str, str, np.ndarray, np.ndarray], Finding]


def compare_layers(pairs: Sequence[Pair], ours: Arrays, theirs: Arrays, judging: Judging) -> list[Finding]:
    """The findings of gate 1, in the reference's order.

    The first layer that departs is the cause, those behind it are consequences. A layer of another shape departs, and
    hides none before it. A layer that the port does not have is excused where a layer behind it agrees.
    """
    raise NotImplementedError
