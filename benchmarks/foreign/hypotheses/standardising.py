"""LayerNorm, GroupNorm and their like, which normalise by what they are given: over which axes, by what formula."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations, permutations

import numpy as np

from benchmarks.foreign.hypotheses.evidence import READ, Evidence, Hypothesis, settle
from benchmarks.foreign.hypotheses.norms import EPSILONS
from benchmarks.foreign.hypotheses.operations import standardise
from benchmarks.parity.channels import channels_of, fit_lines

_GROUPS = (2, 4, 8, 16, 32, 64)
_CORNERS = (0, 1, 2, 3)


@dataclass(frozen=True)
class _Form:
    """channel: the axis of scale and shift. over: what is normalised together. ddof: 1 for the unbiased variance."""

    channel: int
    over: str
    epsilon: float = 1e-5
    ddof: int = 0
    centred: bool = True

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """x (N, ...) normalised, before scale and shift."""
        rest = (self.epsilon, self.ddof, self.centred)
        if self.over == "the channels of each place":
            return standardise(x, (self.channel,), *rest)
        if self.over == "all of an image":
            return standardise(x, tuple(range(1, x.ndim)), *rest)
        if self.over == "each channel of an image":
            return standardise(x, tuple(axis for axis in range(1, x.ndim) if axis != self.channel), *rest)
        if self.over == "each channel of the batch":
            return standardise(x, tuple(axis for axis in range(x.ndim) if axis != self.channel), *rest)
        moved = np.moveaxis(x, self.channel, 1)
        grouped = moved.reshape(len(x), int(self.over.split()[0]), -1)
        return np.moveaxis(standardise(grouped, (2,), *rest).reshape(moved.shape), 1, self.channel)


def standardising_hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """The faults of a norm without statistics; its scale and shift are fitted where no parameters are known."""
    own, reference = evidence.own(), np.asarray(evidence.reference, np.float64)
    inputs = {f"{name} {at}": x for at, (name, x) in enumerate(evidence.inputs()) if x.shape == reference.shape}
    for x in inputs.values() if reference.ndim > 1 else ():
        form = _settle(_forms(x), x, reference, own)
        if form is not None:
            yield from _faults(evidence, form, x, *_affine(form, x, reference, own))
            return
    yield from _of_sums(evidence, inputs, reference, own)


def _of_sums(
    evidence: Evidence, inputs: dict[str, np.ndarray], reference: np.ndarray, own: dict[str, np.ndarray]
) -> Iterator[Hypothesis]:
    """The same where the norm is given the sum of two layers, as behind a shortcut that is no module."""
    plain = [_Form(reference.ndim - 1, "the channels of each place", epsilon) for epsilon in EPSILONS[:3]]
    for branch, shortcut in combinations(inputs, 2) if reference.ndim > 2 else ():
        x = inputs[branch] + inputs[shortcut]
        form = _settle(plain, x, reference, own)
        if form is not None:
            scale, shift = _affine(form, x, reference, own)
            for missing, left in ((shortcut, branch), (branch, shortcut)):
                cause = f"the shortcut before it is missing: {missing.split()[0]} is not added to {left.split()[0]}"
                yield Hypothesis(cause, _apply(form, inputs[left], scale, shift))
            yield from _faults(evidence, form, x, scale, shift)
            return


def _settle(forms: Iterable[_Form], x: np.ndarray, reference: np.ndarray, own: dict[str, np.ndarray]) -> _Form | None:
    """The form that gives the reference from x."""
    found = settle(((form, _apply(form, x, *_affine(form, x, reference, own))) for form in forms), reference)
    return None if found is None else found[0]


def _forms(x: np.ndarray) -> Iterator[_Form]:
    """The forms of the reference: by the last axis or by axis 1."""
    for channel in (x.ndim - 1, 1) if x.ndim > 2 else (1,):
        groups = [f"{count} groups" for count in _GROUPS if x.shape[channel] % count == 0 and count < x.shape[channel]]
        kinds = ["the channels of each place"]
        if x.ndim > 2:
            kinds += [*groups, "all of an image", "each channel of an image"]
        for over in kinds:
            yield from (_Form(channel, over, epsilon) for epsilon in EPSILONS if epsilon)


def _affine(form: _Form, x: np.ndarray, y: np.ndarray, own: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift by channel: the layer's own, or those that bring the normalised x nearest to y."""
    if own.get("weight") is not None and own["weight"].size == x.shape[form.channel]:
        return own["weight"], own.get("bias", np.zeros_like(own["weight"]))
    return fit_lines(channels_of(form(x), form.channel), channels_of(y, form.channel))


def _apply(form: _Form, x: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
    shape = [1] * x.ndim
    shape[form.channel] = -1
    return form(x) * scale.reshape(shape) + shift.reshape(shape)


def _faults(
    evidence: Evidence, form: _Form, x: np.ndarray, scale: np.ndarray, shift: np.ndarray
) -> Iterator[Hypothesis]:
    ones, zeros = np.ones_like(scale), np.zeros_like(shift)
    yield Hypothesis("scale and shift (weight and bias) are exchanged", _apply(form, x, shift, scale))
    yield Hypothesis("the scale (weight) is not loaded or left out: ones", _apply(form, x, ones, shift))
    yield Hypothesis("the shift (bias) is not loaded or left out: zeros", _apply(form, x, scale, zeros))
    neither = _apply(form, x, ones, zeros)
    yield Hypothesis("scale and shift (weight and bias) are not loaded: ones and zeros", neither)
    for epsilon in EPSILONS:
        if epsilon != form.epsilon:
            cause = f"the epsilon is {epsilon:g}, where the reference has {form.epsilon:g}"
            yield Hypothesis(cause, _apply(replace(form, epsilon=epsilon), x, scale, shift))
    unbiased = "the variance is the unbiased one (n - 1), where the reference has the biased (n)"
    yield Hypothesis(unbiased, _apply(replace(form, ddof=1), x, scale, shift))
    uncentred = "the mean is not subtracted, as in RMSNorm"
    yield Hypothesis(uncentred, _apply(replace(form, centred=False), x, scale, shift))
    forms = dict.fromkeys(replace(other, epsilon=form.epsilon) for other in _forms(x))
    for other in [*forms, replace(form, over="each channel of the batch")] if x.ndim > 2 else ():
        if other.over != form.over and other.channel == form.channel:
            cause = f"it normalises over {other.over}, where the reference does so over {form.over}"
            yield Hypothesis(cause, _apply(other, x, scale, shift))
    yield from _of_corners(form, x, scale, shift)
    for path, theirs in evidence.alike():
        cause = f"the weights are those of {path}: exchanged"
        yield Hypothesis(cause, _apply(form, x, theirs["weight"], theirs.get("bias", zeros)))
    if evidence.other.shape == x.shape:
        fitted = _affine(form, x, np.asarray(evidence.other, np.float64), {})
        cause = "its scale or shift (weight or bias) has other values: another's"
        yield Hypothesis(cause, _apply(form, x, *fitted), READ)


def _of_corners(form: _Form, x: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> Iterator[Hypothesis]:
    """The norm of merged patches, whose four corners are concatenated in another order."""
    if x.ndim == 3 and form.channel == 2 and x.shape[2] % len(_CORNERS) == 0:
        parts = np.split(x, len(_CORNERS), axis=2)
        for order in list(permutations(_CORNERS))[1:]:
            put = np.concatenate([parts[part] for part in order], axis=2)
            cause = f"the corners of a merged patch are concatenated in another order: {list(order)}"
            yield Hypothesis(cause, _apply(form, put, scale, shift))
