"""What the processes that share a run agree on and tell one another, over the one thing that a learner offers for it.

A learner has its `rank`, of `world`, and `sum_over_ranks(array)`, which every rank must call with an array (N,) float32
of the same size and which gives each of them the sum of all. Here, too, every rank must call the same functions in the
same order.
"""

import json
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

_HALF = 1 << 20  # a size is sent as two numbers, each of which float32 holds exactly


def on_any_rank(learner: Any, flag: bool) -> bool:
    """Whether the flag is set on any of the ranks: the same answer on each."""
    if learner.world == 1:
        return flag
    return bool(learner.sum_over_ranks(np.float32([flag]))[0] > 0)


def shared_out(learner: Any, items: Sequence) -> Sequence:
    """This rank's part of what all of them have: every `world`-th, from its own number on."""
    return items[learner.rank :: learner.world]


def gathered(learner: Any, value: Any) -> list[Any]:
    """The values of all ranks, by rank, on each of them; a value is what JSON can hold."""
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
