"""BatchNorm and its like: what the port's answer says of epsilon, statistics, scale and shift."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.foreign.hypotheses.evidence import READ, SAME, Evidence, Hypothesis, left_by, settle
from benchmarks.parity.channels import channels_of, energy, fit_lines

EPSILONS = (1e-5, 1e-3, 1e-6, 1e-4, 1e-2, 0.0, 1e-8, 1e-12, 2e-5)
_MOMENTA = (0.1, 0.9, 0.01, 0.99, 0.03, 0.97, 0.003, 0.997, 0.001, 0.999)


@dataclass(frozen=True)
class _Norm:
    """y = scale (x - mean) / sqrt(variance + epsilon) + shift, by channel."""

    scale: np.ndarray
    shift: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    epsilon: float

    def __call__(self, x: np.ndarray) -> np.ndarray:
        shape = (-1,) + (1,) * (x.ndim - 2)
        factor = self.scale / np.sqrt(self.variance + self.epsilon)
        return x * factor.reshape(shape) + (self.shift - self.mean * factor).reshape(shape)


def norm_hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """The faults of a norm by running statistics, told by its parameters, or by its lines where they are not known."""
    inputs = [x for _, x in evidence.inputs() if x.shape == evidence.reference.shape and x.ndim >= 2]
    own = evidence.own()
    for x in inputs:
        if {"running_mean", "running_var"} <= own.keys() and x.shape[1] == own["running_var"].size:
            found = settle(((norm, norm(x)) for norm in [*_norms(own), *_training_norms(own, x)]), evidence.reference)
            if found is not None:
                yield from _with_parameters(evidence, found[0], x)
                return
    if not own and evidence.other.shape == evidence.reference.shape:
        yield from _without_parameters(evidence, inputs)


def _norms(own: dict[str, np.ndarray]) -> Iterator[_Norm]:
    """The norm by the reference's parameters, with each epsilon in use."""
    mean, variance = own["running_mean"], own["running_var"]
    scale, shift = own.get("weight", np.ones_like(mean)), own.get("bias", np.zeros_like(mean))
    yield from (_Norm(scale, shift, mean, variance, epsilon) for epsilon in EPSILONS)


def _training_norms(own: dict[str, np.ndarray], x: np.ndarray) -> Iterator[_Norm]:
    """The norm as it trains, by the statistics of the batch, with each epsilon in use."""
    mean, variance = _statistics(x)
    yield from (replace(norm, mean=mean, variance=variance) for norm in _norms(own))


def _statistics(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The batch's mean and biased variance of each channel of axis 1."""
    axes = (0, *range(2, x.ndim))
    return x.mean(axis=axes), x.var(axis=axes)


def _with_parameters(evidence: Evidence, norm: _Norm, x: np.ndarray) -> Iterator[Hypothesis]:
    for epsilon in EPSILONS:
        if epsilon != norm.epsilon:
            cause = f"the epsilon is {epsilon:g}, where the reference has {norm.epsilon:g}"
            yield Hypothesis(cause, replace(norm, epsilon=epsilon)(x))
    yield from _of_scale_and_shift(norm, x)
    running = next(_norms(evidence.own()))
    of_running = replace(norm, mean=running.mean, variance=running.variance)
    yield Hypothesis("it normalises by its running statistics: evaluation mode", of_running(x))
    yield from _of_statistics(norm, x)
    for path, theirs in evidence.alike():
        if {"running_mean", "running_var"} <= theirs.keys():
            other = next(iter(_norms(theirs)))
            yield Hypothesis(f"the weights are those of {path}: exchanged", replace(other, epsilon=norm.epsilon)(x))
    yield from _stale(evidence, norm, x)


def _of_scale_and_shift(norm: _Norm, x: np.ndarray) -> Iterator[Hypothesis]:
    ones, zeros = np.ones_like(norm.scale), np.zeros_like(norm.shift)
    exchanged = replace(norm, scale=norm.shift, shift=norm.scale)
    yield Hypothesis("scale and shift (weight and bias) are exchanged", exchanged(x))
    yield Hypothesis("the scale (weight) is not loaded or left out: ones", replace(norm, scale=ones)(x))
    yield Hypothesis("the shift (bias) is not loaded or left out: zeros", replace(norm, shift=zeros)(x))
    neither = replace(norm, scale=ones, shift=zeros)
    yield Hypothesis("scale and shift (weight and bias) are not loaded: ones and zeros", neither(x))
    fresh = replace(neither, mean=zeros, variance=ones)
    yield Hypothesis("nothing is loaded: fresh weights and statistics", fresh(x))


def _of_statistics(norm: _Norm, x: np.ndarray) -> Iterator[Hypothesis]:
    (mean, variance), count = _statistics(x), x.size // x.shape[1]
    ones, zeros = np.ones_like(mean), np.zeros_like(mean)
    of_batch = "it normalises by the statistics of the batch: train mode"
    yield Hypothesis(of_batch, replace(norm, mean=mean, variance=variance)(x))
    unbiased = variance * count / max(count - 1, 1)
    yield Hypothesis(of_batch + ", with the unbiased variance", replace(norm, mean=mean, variance=unbiased)(x))
    yield Hypothesis("the running statistics are not loaded: 0 and 1", replace(norm, mean=zeros, variance=ones)(x))
    yield Hypothesis("the running mean is not loaded: zeros", replace(norm, mean=zeros)(x))
    yield Hypothesis("the running variance is not loaded: ones", replace(norm, variance=ones)(x))
    exchanged = replace(norm, mean=norm.variance, variance=np.abs(norm.mean))
    yield Hypothesis("running mean and variance are exchanged", exchanged(x))
    rootless = replace(norm, variance=np.square(norm.variance + norm.epsilon), epsilon=0.0)
    yield Hypothesis("the root of the variance is missing, or a deviation is taken for a variance", rootless(x))
    outside = replace(norm, variance=np.square(np.sqrt(norm.variance) + norm.epsilon), epsilon=0.0)
    yield Hypothesis("the epsilon is added to the root, not below it", outside(x))
    for momentum in _MOMENTA:
        moved = replace(
            norm,
            mean=norm.mean + momentum * (mean - norm.mean),
            variance=norm.variance + momentum * (unbiased - norm.variance),
        )
        cause = f"its running statistics moved by a share of {momentum:g} towards the batch, and should be frozen"
        yield Hypothesis(cause, moved(x))


def _stale(evidence: Evidence, norm: _Norm, x: np.ndarray) -> Iterator[Hypothesis]:
    """What remains if the port draws a line by channel: statistics or weights of other values, told from the lines."""
    if evidence.other.shape != x.shape:
        return
    scale, shift = _lines(x, evidence.other)
    given, _ = _lines(x, evidence.reference)
    other = np.asarray(evidence.other, np.float64)
    if left_by(other, _draw(x, scale, shift), energy(other)) > SAME:
        return
    told = norm.scale != 0
    with np.errstate(all="ignore"):
        variance = np.where(told, np.square(norm.scale / scale) - norm.epsilon, norm.variance)
        share = float(np.median(variance[told] / norm.variance[told])) if told.any() else 1.0
    scaled = replace(norm, variance=norm.variance * share)
    cause = f"its running variance is {share:.4g} times the reference's: biased for unbiased, or the reverse"
    yield Hypothesis(cause, scaled(x))
    is_same = np.allclose(scale, given, rtol=1e-3)
    cause = "its running mean is stale or another's" if is_same else "its running statistics are stale or another's"
    yield Hypothesis(cause, _draw(x, scale, shift), READ)


def _without_parameters(evidence: Evidence, inputs: list[np.ndarray]) -> Iterator[Hypothesis]:
    """What the lines alone tell, each channel's slope and intercept in the reference and in the port."""
    reference, other = np.asarray(evidence.reference, np.float64), np.asarray(evidence.other, np.float64)
    for x in inputs:
        ours, theirs = _lines(x, reference), _lines(x, other)
        if left_by(reference, _draw(x, *ours), energy(reference)) > SAME:
            continue
        if left_by(other, _draw(x, *theirs), energy(other)) > SAME:
            return
        answer = _draw(x, *theirs)
        for cause in _read(ours, theirs, other):
            yield Hypothesis(cause, answer, READ)
        return


def _read(ours: tuple[np.ndarray, ...], theirs: tuple[np.ndarray, ...], other: np.ndarray) -> list[str]:
    """What slopes and intercepts by channel suggest, the likelier first."""
    with np.errstate(all="ignore"):
        apart = theirs[0] / ours[0] - 1
    if np.abs(apart).max() < 1e-4 and not np.allclose(theirs[1], ours[1], rtol=1e-3):
        return ["the running mean is stale or not loaded: the slopes are right", "the shift (bias) is not loaded"]
    if _standardises(other):
        return ["it normalises by the statistics of the batch (train mode), with fresh weights"]
    if np.allclose(theirs[0], theirs[0][0], rtol=1e-4):
        return ["nothing is loaded: every channel has one slope, as fresh weights and statistics"]
    if apart.std() < 0.05 * abs(apart.mean()):
        return ["the running variance is biased for unbiased, or the reverse: every slope has one factor"]
    if (theirs[0] > 0).all() and (ours[0] < 0).any():
        return ["the scale (weight) is not loaded or left out: no slope is negative", "it is another norm's"]
    if (apart < -1).any():
        return ["scale and shift (weight and bias) are exchanged: slopes have other signs", "it is another norm's"]
    if ((apart > 0).all() or (apart < 0).all()) and np.abs(apart).max() < 0.5:
        return ["the epsilon: every slope is off to one side", "running statistics that are stale or of the batch"]
    return [
        "running statistics that are stale, not loaded, or of the batch (train mode)",
        "scale and shift (weight and bias) that are not loaded, or another norm's",
    ]


def _standardises(y: np.ndarray) -> bool:
    """Whether every channel has mean 0 and deviation 1."""
    axes = (0, *range(2, y.ndim))
    return np.allclose(y.mean(axis=axes), 0, atol=1e-3) and np.allclose(y.std(axis=axes), 1, atol=1e-2)


def _lines(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope and intercept of y by x, a channel of axis 1 each."""
    return fit_lines(channels_of(x, 1), channels_of(np.asarray(y, np.float64), 1))


def _draw(x: np.ndarray, slope: np.ndarray, intercept: np.ndarray) -> np.ndarray:
    shape = (-1,) + (1,) * (x.ndim - 2)
    return x * slope.reshape(shape) + intercept.reshape(shape)
