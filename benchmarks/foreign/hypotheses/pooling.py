"""Pooling: the window, and the mean or maximum, by which the reference and the port follow from the layer's input."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from benchmarks.foreign.hypotheses.evidence import Evidence, Hypothesis, settle
from benchmarks.foreign.hypotheses.operations import Sides, Window, pool_largest, pool_mean

_KERNELS, _STRIDES = (2, 3, 5), (1, 2, 3, 4)


@dataclass(frozen=True)
class _Pool:
    window: Window
    takes: str  # "largest" or "mean"
    zeros: bool = False  # whether the padding's zeros count: as values of a maximum, as members of a mean

    def __call__(self, x: np.ndarray) -> np.ndarray:
        if self.takes == "largest":
            return pool_largest(x, self.window, 0.0 if self.zeros else -np.inf)
        return pool_mean(x, self.window, self.zeros)


def pooling_hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """Every pool that differs from the reference's in one or two settings."""
    if evidence.reference.ndim not in (2, 4):
        return
    for _, x in evidence.inputs():
        if x.ndim != 4 or x.shape[:2] != evidence.reference.shape[:2]:
            continue
        yield from _of_all(evidence, x)
        found = settle(((pool, pool(x)) for pool in _pools(x, evidence.reference.shape)), evidence.reference)
        if found is None:
            continue
        ports = [(_changes(found[0], pool), pool) for pool in _pools(x, evidence.other.shape)]
        for changes, pool in sorted(
            ports, key=lambda port: (len(port[0]), port[1].window.padding != found[0].window.padding)
        ):
            if changes:
                yield Hypothesis("the pool: " + ", and ".join(changes), pool(x))
        return


def _of_all(evidence: Evidence, x: np.ndarray) -> Iterator[Hypothesis]:
    """The mean or maximum of the whole picture."""
    whole = {"mean": x.mean(axis=(2, 3)), "maximum": x.max(axis=(2, 3)), "sum": x.sum(axis=(2, 3))}
    shaped = {name: array.reshape(-1) for name, array in whole.items()}
    found = settle(shaped.items(), evidence.reference.reshape(-1))
    for name, array in whole.items() if found else ():
        if name != found[0] and array.size == evidence.other.size:
            cause = f"the pool takes the {name} of the picture, where the reference takes the {found[0]}"
            yield Hypothesis(cause, array.reshape(evidence.other.shape))


def _pools(x: np.ndarray, shape: tuple[int, ...]) -> Iterator[_Pool]:
    """The pools that give the shape, the plainest first."""
    for kernel, stride, ceil in product(_KERNELS, _STRIDES, (False, True)):
        for padding in _paddings(kernel):
            window = Window((kernel, kernel), stride, padding, ceil=ceil)
            is_new = not ceil or window.size(*x.shape[2:]) != replace(window, ceil=False).size(*x.shape[2:])
            if is_new and window.size(*x.shape[2:]) == tuple(shape[2:]):
                yield from (_Pool(window, takes, zeros) for takes in ("largest", "mean") for zeros in (False, True))


def _paddings(kernel: int) -> list[Sides]:
    half = kernel // 2
    even = [(0, 0, 0, 0), (half, half, half, half)]
    one_sided = [(0, side, 0, side) for side in (half, 2 * half)] + [(side, 0, side, 0) for side in (half, 2 * half)]
    return [*even, *one_sided]


def _changes(reference: _Pool, port: _Pool) -> list[str]:
    """What the port's pool has otherwise, in words."""
    ours, theirs, changes = reference.window, port.window, []
    if port.takes != reference.takes:
        names = {"largest": "the maximum (max pool)", "mean": "the mean (average pool)"}
        changes.append(f"it takes {names[port.takes]}, where the reference takes {names[reference.takes]}")
    if theirs.kernel != ours.kernel:
        changes.append(f"its kernel is {theirs.kernel[0]}, not {ours.kernel[0]}")
    if theirs.stride != ours.stride:
        changes.append(f"its stride is {theirs.stride}, not {ours.stride}")
    if theirs.padding != ours.padding:
        changes.append(f"its padding (top, bottom, left, right) is {theirs.padding}, not {ours.padding}")
    if theirs.ceil != ours.ceil:
        changes.append(f"its ceil mode is {'on' if theirs.ceil else 'off'}")
    if port.zeros != reference.zeros and any(theirs.padding) and port.takes == reference.takes:
        counted = "counted" if port.zeros else "not counted"
        changes.append(f"the padding's zeros are {counted} (count_include_pad, or the padding value of a maximum)")
    return changes
