"""Exchanges values between the processes (ranks) that share a run.

It needs nothing of a learner but its `rank` of `world`, and `sum_over_ranks(array)`: every rank calls it with an array
(N,) float32 of the same size, and each gets the sum of all. So all ranks must call the functions here in the same
order.
"""

import json
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

# An array (N,) float32 of each rank -> the sum of all.
SumOverRanks = Callable[[np.ndarray], np.ndarray]

_HALF = 1 << 20  # a size is sent as quotient and remainder of this, which float32 holds exactly


def sum_of_one(array: np.ndarray) -> np.ndarray:
    """The sum over the ranks where one process is all that there is."""
    return array


def on_any_rank(learner: Any, flag: bool) -> bool:
    """Tells every rank whether the flag is set on any of them."""
    if learner.world == 1:
        return flag
    return bool(learner.sum_over_ranks(np.float32([flag]))[0] > 0)


def take_share(learner: Any, items: Sequence) -> Sequence:
    """Returns this rank's part of items that all ranks have: every `world`-th, from its own rank on."""
    return items[learner.rank :: learner.world]


def gather_values(learner: Any, value: Any) -> list[Any]:
    """Returns to every rank the list of all ranks' values, by rank; a value must fit into JSON."""
    if learner.world == 1:
        return [value]
    message = np.frombuffer(zlib.compress(json.dumps(value).encode()), np.uint8)
    halves = np.zeros((learner.world, 2), np.float32)
    halves[learner.rank] = divmod(len(message), _HALF)
    halves = learner.sum_over_ranks(halves.reshape(-1)).reshape(-1, 2).astype(np.int64)
    ends = np.cumsum(halves @ (_HALF, 1))
    # Bytes travel as float32, in which a sum with zeros is exact.
    whole = np.zeros(ends[-1], np.float32)
    whole[ends[learner.rank] - len(message) : ends[learner.rank]] = message
    parts = np.split(learner.sum_over_ranks(whole).astype(np.uint8), ends[:-1])
    return [json.loads(zlib.decompress(part.tobytes())) for part in parts]
