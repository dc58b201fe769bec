"""Blocks with a shortcut: which two arrays give the reference as their sum, and what the port made of them."""

from collections.abc import Iterator

import numpy as np

from benchmarks.foreign.hypotheses.activations import FUNCTIONS
from benchmarks.foreign.hypotheses.evidence import Evidence, Hypothesis, settle

_AFTER = ("no activation", "ReLU", "SiLU", "exact GELU (erf)", "leaky ReLU of slope 0.01", "ReLU6")


def shortcut_hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """The sum without one of its parts, with another, or with its activation elsewhere."""
    inputs = {name: x for name, x in evidence.inputs() if x.shape == evidence.reference.shape}
    names = list(inputs)
    pairs = [(branch, shortcut) for at, branch in enumerate(names) for shortcut in names[at + 1 :]]
    sums = (
        ((branch, shortcut, after), FUNCTIONS[after](inputs[branch] + inputs[shortcut]))
        for branch, shortcut in pairs
        for after in _AFTER
    )
    found = settle(sums, evidence.reference)
    if found is None:
        return
    (branch, shortcut, after), _ = found
    activation, left, right = FUNCTIONS[after], inputs[branch], inputs[shortcut]
    yield Hypothesis(f"the shortcut is missing: {shortcut} is not added", activation(left))
    yield Hypothesis(f"the branch is missing: the shortcut stands alone, without {branch}", activation(right))
    if after != "no activation":
        yield Hypothesis(f"the activation after the sum is missing: {after}", left + right)
        yield Hypothesis("the shortcut is added after the activation, not before it", activation(left) + right)
        yield Hypothesis("both parts go through the activation before the sum", activation(left) + activation(right))
        for name in _AFTER[1:]:
            if name != after:
                cause = f"the activation after the sum is {name}, where the reference has {after}"
                yield Hypothesis(cause, FUNCTIONS[name](left + right))
    yield Hypothesis("the parts are averaged, not added", activation((left + right) / 2))
    yield Hypothesis("the shortcut is subtracted, not added", activation(left - right))
    yield Hypothesis("the shortcut is added twice", activation(left + 2 * right))
    for name in names:
        if name not in (branch, shortcut):
            yield Hypothesis(f"the shortcut starts at {name}, not at {shortcut}", activation(left + inputs[name]))
            yield Hypothesis(f"the branch ends at {name}, not at {branch}", activation(inputs[name] + right))


def passed_through(evidence: Evidence) -> Iterator[Hypothesis]:
    """The layer's answer is what one before it gave."""
    for name, x in evidence.inputs():
        if x.size == evidence.other.size:
            yield Hypothesis(f"the layer is not applied: it answers what {name} did", x.reshape(evidence.other.shape))
    yield Hypothesis("the sign is reversed", -np.asarray(evidence.reference, np.float64))
