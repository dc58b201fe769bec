"""Running statistics after a step of training: the momentum, the variance, and whether they moved at all."""

from collections.abc import Iterator

import numpy as np

from benchmarks.foreign.hypotheses.evidence import Hypothesis, left_by
from benchmarks.parity.channels import energy

MOMENTA = (0.1, 0.01, 0.03, 0.001, 0.003, 0.05, 0.2, 0.3)
_FEWEST_CHANNELS = 4
_NEAR_ONE = 0.5  # a biased variance of a batch is more than this share of the unbiased
_ROUNDING = 1e-8


def statistics_hypotheses(before: np.ndarray, reference: np.ndarray, other: np.ndarray) -> Iterator[Hypothesis]:
    """Faults of the update, m being the reference's momentum: after = (1 - m) before + m batch.

    before: the statistic (C,) before the step. reference, other: after it. A step's path from `before` is a multiple of
    the reference's if the momentum alone is another; (1 - m) / m times as long is the momentum read the other way.
    """
    before, reference, other = (np.asarray(array, np.float64) for array in (before, reference, other))
    path = reference - before
    yield Hypothesis("the statistic is not updated: frozen, or in evaluation mode", before)
    for momentum in MOMENTA:
        cause = (
            f"the momentum is read the other way: it keeps {momentum:g} of the old value where the reference keeps "
            f"{1 - momentum:g}, or the reverse"
        )
        yield Hypothesis(cause, before + path * (1 - momentum) / momentum)
        yield Hypothesis(cause, before + path * momentum / (1 - momentum))
    if energy(path) == 0.0:
        return
    yield from _of_variance(before, reference, other)
    share = float(path @ (other - before)) / energy(path)
    yield Hypothesis(f"the momentum is another: the statistic moves {share:.4g} times as far", before + share * path)


def _of_variance(before: np.ndarray, reference: np.ndarray, other: np.ndarray) -> Iterator[Hypothesis]:
    """A batch's variance divided by n for n - 1, or the reverse, which is the same factor in every channel."""
    if before.size < _FEWEST_CHANNELS:
        return
    for momentum in MOMENTA:
        ours, theirs = ((after - (1 - momentum) * before) / momentum for after in (reference, other))
        factor = float(ours @ theirs) / max(energy(ours), 1e-300)
        if left_by(theirs, factor * ours, energy(theirs)) < _ROUNDING and abs(factor - 1) < _NEAR_ONE:
            kind = "biased (n) where the reference has the unbiased (n - 1)"
            if factor > 1:
                kind = "unbiased (n - 1) where the reference has the biased (n)"
            count = 1 / abs(1 - factor) if factor < 1 else factor / (factor - 1)
            yield Hypothesis(
                f"the variance of the batch is {kind}: n is {count:.0f}",
                (1 - momentum) * before + momentum * factor * ours,
            )
