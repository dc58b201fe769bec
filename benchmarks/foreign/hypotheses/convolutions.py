"""Convolutions: how the reference's kernel moves over the layer's input, and what the port does otherwise."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from benchmarks.foreign.hypotheses.evidence import NEAREST, READ, SAME, Evidence, Hypothesis, left_by
from benchmarks.foreign.hypotheses.fitting import fit_kernel
from benchmarks.foreign.hypotheses.operations import Sides, Window, convolve
from benchmarks.parity.channels import energy

MOST_OUTPUTS = 16  # channels of the answer that are computed: enough to tell hypotheses apart
NEAREST_FITTED = 3  # layers before it that a convolution of unknown weight is looked for in
_MODES = {"reflect": "mirrored", "edge": "repeated from the border", "wrap": "taken from the other side"}


@dataclass(frozen=True)
class _Convolution:
    weight: np.ndarray  # (O, C / groups, h, w)
    bias: np.ndarray  # (O,)
    window: Window
    outputs: int  # the channels of the answer that are computed

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return convolve(x, self.weight[: self.outputs], self.bias[: self.outputs], self.window)

    def answer_plus(self, x: np.ndarray, bias: np.ndarray) -> np.ndarray:
        """The answer with (O,) added to the bias."""
        return self(x) + bias[: self.outputs, None, None]


def narrow(evidence: Evidence) -> Evidence:
    """The first channels of the answer alone, which tell as much in less time.

    Of a grouped convolution all are needed: each part of them has inputs of its own.
    """
    weight = evidence.own().get("weight")
    inputs = [x for x in evidence.before.values() if np.ndim(x) == 4]
    is_grouped = weight is not None and weight.ndim == 4 and all(x.shape[1] != weight.shape[1] for x in inputs)
    if is_grouped or evidence.reference.ndim != 4 or evidence.other.ndim != 4:
        return evidence
    some = slice(0, MOST_OUTPUTS)
    return replace(evidence, reference=evidence.reference[:, some], other=evidence.other[:, some])


def convolution_hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """Every convolution that differs in one thing from the reference's.

    Its kernel is the layer's weight where parameters are known, else what the input and the answer allow to solve for.
    """
    own = evidence.own()
    for _, x in islice(evidence.inputs(), NEAREST if own else NEAREST_FITTED):
        if x.ndim != 4 or evidence.reference.ndim != 4 or len(x) != len(evidence.reference):
            continue
        found = _of_reference(evidence, own, x)
        if found is not None:
            yield from _of_window(found, x, evidence.other.shape[2:])
            if evidence.other.shape == evidence.reference.shape:
                yield from _of_bias(found, x)
                yield from _of_kernel(found, x)
                yield from _of_others(evidence, found, x)
                yield from _of_fitted(evidence, found, x)
            return


def _of_reference(evidence: Evidence, own: dict[str, np.ndarray], x: np.ndarray) -> _Convolution | None:
    """The convolution that gives the reference from x, by the layer's own weight or by one that is solved for."""
    reference, size = np.asarray(evidence.reference, np.float64), evidence.reference.shape[2:]
    outputs = reference.shape[1]
    weight = own.get("weight")
    if weight is None and evidence.parameters:
        return None
    if weight is None:
        fitted = ((window, fit_kernel(x, reference, window)) for window in _windows_of_any_kernel(x, size))
        options = (_Convolution(*kernel, window, outputs) for window, kernel in fitted if kernel is not None)
    elif weight.ndim == 4 and weight.shape[1] and x.shape[1] % weight.shape[1] == 0:
        bias = own.get("bias", np.zeros(len(weight)))
        options = (_Convolution(weight, bias, window, outputs) for window in _windows(x, size, weight.shape[2:]))
    else:
        return None
    extent = energy(reference)
    return next((option for option in options if left_by(reference, option(x), extent) < SAME), None)


def _windows(x: np.ndarray, size: tuple[int, ...], kernel: tuple[int, ...]) -> Iterator[Window]:
    """The ways in which the kernel gives the size, even padding and the plain ones first."""
    for dilation in (1, 2, 3, 4) if max(kernel) > 1 else (1,):
        reach = dilation * (max(kernel) - 1)
        same = (reach // 2, reach - reach // 2)
        even = [(side, side) for side in dict.fromkeys((reach // 2, 0, 1, 2, 3, kernel[0] // 2)) if side <= reach]
        uneven = [
            same,
            same[::-1],
            (max(same[0] - 1, 0), same[1]),
            (same[0], max(same[1] - 1, 0)),
            (0, reach),
            (reach, 0),
        ]
        for low, high in dict.fromkeys(even + uneven):
            for stride in (1, 2, 3, 4, 8, 16):
                window = Window((kernel[0], kernel[1]), stride, (low, high, low, high), dilation)
                if window.size(*x.shape[2:]) == tuple(size):
                    yield window


def _windows_of_any_kernel(x: np.ndarray, size: tuple[int, ...]) -> Iterator[Window]:
    for kernel in (1, 2, 3, 4, 5, 7):
        yield from _windows(x, size, (kernel, kernel))


def _of_window(found: _Convolution, x: np.ndarray, size: tuple[int, ...]) -> Iterator[Hypothesis]:
    """Another stride, padding, dilation, or place where the kernel starts."""
    ours = found.window
    for window in _windows(x, size, found.weight.shape[2:]):
        if window != ours:
            answer = replace(found, window=window)(x)
            yield Hypothesis("; ".join(_changes(ours, window, x.shape[2:])), answer)
    if any(ours.padding) and ours.size(*x.shape[2:]) == tuple(size):
        for mode, words in _MODES.items():
            if max(ours.padding) < min(x.shape[2:]):
                answer = replace(found, window=replace(ours, mode=mode))(x)
                yield Hypothesis(f"the padding is {words} ({mode}), where the reference has zeros", answer)
    if ours.stride > 1 and ours.size(*x.shape[2:]) == tuple(size):
        for down, right in ((1, 1), (0, 1), (1, 0)):
            moved = found(np.pad(x, ((0, 0), (0, 0), (0, down), (0, right)))[:, :, down:, right:])
            yield Hypothesis("the stride starts elsewhere: at the second row or column", moved)


def _changes(ours: Window, theirs: Window, size: tuple[int, ...]) -> list[str]:
    """What the port's window has otherwise, in words; size: of the input."""
    changes = []
    if theirs.stride != ours.stride:
        changes.append(f"the stride is {theirs.stride}, not {ours.stride}")
    if theirs.dilation != ours.dilation:
        changes.append(f"the dilation is {theirs.dilation}, not {ours.dilation}")
    if theirs.padding != ours.padding and theirs.dilation == ours.dilation:
        changes.append(_of_padding(ours, theirs.padding, size))
    return changes


def _of_padding(ours: Window, theirs: Sides, size: tuple[int, ...]) -> str:
    if not any(theirs):
        return "the padding is missing: `valid`"
    reach = ours.dilation * (ours.kernel[0] - 1) + 1
    needed = max((-(-size[0] // ours.stride) - 1) * ours.stride + reach - size[0], 0)
    if theirs[:2] == (needed // 2, needed - needed // 2) and theirs[0] != theirs[1]:
        return (
            f"the padding is `same`, {theirs[0]} above and left and {theirs[1]} below and right, "
            f"where the reference has {ours.padding[0]} on each side"
        )
    if theirs[0] != theirs[1]:
        return f"the padding is one-sided: {theirs} at top, bottom, left, right, not {ours.padding}"
    return f"the padding is {theirs[0]} on each side, not {ours.padding[0]}"


def _of_bias(found: _Convolution, x: np.ndarray) -> Iterator[Hypothesis]:
    if np.any(found.bias):
        yield Hypothesis("the bias is missing: left out or not loaded", found.answer_plus(x, -found.bias))
        yield Hypothesis("the bias is added twice", found.answer_plus(x, found.bias))
        yield Hypothesis("the bias is subtracted", found.answer_plus(x, -2 * found.bias))


def _of_kernel(found: _Convolution, x: np.ndarray) -> Iterator[Hypothesis]:
    """The same numbers in another order."""
    weight = found.weight
    orders = {
        "the kernel is flipped: a convolution where the reference correlates": weight[..., ::-1, ::-1],
        "the kernel is flipped from top to bottom": weight[..., ::-1, :],
        "the kernel is flipped from left to right": weight[..., ::-1],
        "the kernel's input channels are reversed (RGB, BGR)": weight[:, ::-1],
        "the kernel's output channels are reversed": weight[::-1],
        "the kernel is transposed: width for height": weight.swapaxes(2, 3),
        "the kernel is read in the layout (h, w, in, out)": weight.reshape(-1)
        .reshape(*weight.shape[2:], weight.shape[1], weight.shape[0])
        .transpose(3, 2, 0, 1),
        "the kernel was written as (h, w, in, out) and is read as (out, in, h, w)": weight.transpose(
            2, 3, 1, 0
        ).reshape(weight.shape),
        "the kernel was written as (out, h, w, in) and is read as (out, in, h, w)": weight.transpose(
            0, 2, 3, 1
        ).reshape(weight.shape),
    }
    if weight.shape[0] == weight.shape[1]:
        orders["the kernel is transposed: (in, out) for (out, in)"] = weight.swapaxes(0, 1)
    for cause, order in orders.items():
        if order.shape == weight.shape and not np.array_equal(order, weight):
            yield Hypothesis(cause, replace(found, weight=order)(x))
    groups = x.shape[1] // weight.shape[1]
    if groups > 1:
        mixed = x.reshape(len(x), groups, -1, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)
        yield Hypothesis("the groups take every other input channel, not neighbouring ones", found(mixed))
        back = x.reshape(len(x), -1, groups, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)
        yield Hypothesis("the groups take channels in another order", found(back))
        answer = found(x)
        shuffled = answer.reshape(len(x), groups, -1, *answer.shape[2:]).swapaxes(1, 2).reshape(answer.shape)
        yield Hypothesis("the groups' channels are interleaved in the answer", shuffled)
        first = replace(found, weight=np.concatenate([weight[: len(weight) // groups]] * groups))
        yield Hypothesis("all groups have the first one's kernel", first(x))


def _of_others(evidence: Evidence, found: _Convolution, x: np.ndarray) -> Iterator[Hypothesis]:
    """Another layer's weight or bias in this place."""
    for path, theirs in evidence.alike():
        bias = theirs.get("bias", found.bias)
        whole = replace(found, weight=theirs["weight"], bias=bias)
        yield Hypothesis(f"the weights are those of {path}: exchanged", whole(x))
        if np.any(bias != found.bias):
            yield Hypothesis(f"the weight is that of {path}", whole.answer_plus(x, found.bias - bias))
    shape = found.bias.shape
    for name, array in evidence.parameters.items():
        if name.endswith((".bias", ".beta")) and np.shape(array) == shape:
            apart = np.asarray(array, np.float64) - found.bias
            yield Hypothesis(f"the bias is another's: {name}", found.answer_plus(x, apart))


def _of_fitted(evidence: Evidence, found: _Convolution, x: np.ndarray) -> Iterator[Hypothesis]:
    """What remains if the port's answer is a convolution by the same window with other numbers."""
    other, reference = np.asarray(evidence.other, np.float64), np.asarray(evidence.reference, np.float64)
    kernel = fit_kernel(x, other, found.window, is_unique=False)
    if kernel is None:
        return
    answer = replace(found, weight=kernel[0], bias=kernel[1])(x)
    if left_by(other, answer, energy(other)) > SAME:
        return
    moved = reference + (other - reference).mean(axis=(0, 2, 3), keepdims=True)
    if left_by(other, moved, energy(other - reference)) < SAME:
        yield Hypothesis("the bias has other values: wrong or not loaded", answer, READ)
    else:
        yield Hypothesis("the weight has other values: not loaded, or another's", answer, READ)
