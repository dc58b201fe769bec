"""Stochastic depth (Huang et al., 2016): which branches of residual blocks an image leaves out in a training step.

Every block has two branches. What is drawn for one depends on its image's seed and its number alone, so that the three
frameworks leave out the same ones.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from common.training.randomness import hash_numbers

# Where the numbers of branches begin; nothing else that is drawn by an image's seed has such a number.
_BRANCHES = 1 << 42


def drop_rates(rate: float, blocks: int) -> np.ndarray:
    """How probably each block's branches are left out: evenly from 0 for the first block to `rate` for the last."""
    return np.linspace(0.0, rate, blocks)


def draw_branch_scales(seeds: Sequence[int], rate: float, blocks: int) -> np.ndarray:
    """By what each image multiplies its blocks' branches: (N, 2 * blocks) float32, block after block.

    A branch of the rate r is left out, 0, or enlarged to 1 / (1 - r), so that its mean stays.
    """
    rates = np.repeat(drop_rates(rate, blocks), 2)
    numbers = _BRANCHES + np.arange(len(rates))
    drawn = np.stack([hash_numbers(int(seed), numbers) for seed in seeds]) / 2.0**64
    return np.where(drawn < rates, 0.0, 1 / (1 - rates)).astype(np.float32)


def draw_branches(seeds: Sequence[int], network: Any) -> dict[str, np.ndarray]:
    """The entry `branch_scales` (N, 2 * blocks) of a batch, where the backbone leaves branches out in training.

    network: the section of settings with `backbone` and `drop_path`.
    """
    if not network.drop_path:
        return {}
    return {"branch_scales": draw_branch_scales(seeds, network.drop_path, network.backbone.blocks)}
