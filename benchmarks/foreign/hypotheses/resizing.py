"""Resizes: which way of enlarging gives the reference from the layer's input, and which gives the port."""

from collections.abc import Iterator

import numpy as np

from benchmarks.foreign.hypotheses.evidence import Evidence, Hypothesis, settle
from common import numpy_ops

_WAYS = {
    "bilinear with half pixels (align_corners off)": ("bilinear", False),
    "bilinear with align_corners": ("bilinear", True),
    "nearest": ("nearest", False),
}


def resizing_hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """Every other way to the same size; bilinear without half pixels, as old frameworks had it, among them."""
    for _, x in evidence.inputs():
        if x.ndim != 4 or evidence.reference.ndim != 4 or x.shape[:2] != evidence.reference.shape[:2]:
            continue
        if x.shape == evidence.reference.shape:
            continue
        size = evidence.reference.shape[2:]
        answers = {name: numpy_ops.resize(x, size, *way) for name, way in _WAYS.items()}
        answers["bilinear from the corner of each pixel"] = _from_corners(x, size)
        found = settle(answers.items(), evidence.reference)
        for name, array in answers.items() if found else ():
            if name != found[0]:
                yield Hypothesis(f"the resize is {name}, where the reference's is {found[0]}", array)
        if found:
            return


def _from_corners(x: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Bilinear, where pixel i of the result lies at i * (source / target)."""
    for axis, target in ((2, size[0]), (3, size[1])):
        source = x.shape[axis]
        at = np.minimum(np.arange(target) * (source / target), source - 1)
        low = np.floor(at).astype(int)
        high, share = np.minimum(low + 1, source - 1), np.expand_dims(at - low, tuple(range(1, x.ndim - axis)))
        x = np.take(x, low, axis) * (1 - share) + np.take(x, high, axis) * share
    return x
