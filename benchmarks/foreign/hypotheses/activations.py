"""Activations: which function gives the reference from the layer's input, and which gives the port."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from scipy.special import erf, expit

from benchmarks.foreign.hypotheses.evidence import Evidence, Hypothesis, settle

Function = Callable[[np.ndarray], np.ndarray]


def leaky(x: np.ndarray, slope: float) -> np.ndarray:
    return np.where(x > 0, x, slope * x)


def gelu_by_tanh(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


FUNCTIONS: dict[str, Function] = {
    "no activation": lambda x: x,
    "ReLU": partial(np.maximum, 0.0),
    "ReLU6": lambda x: np.clip(x, 0, 6),
    "leaky ReLU of slope 0.01": partial(leaky, slope=0.01),
    "leaky ReLU of slope 0.1": partial(leaky, slope=0.1),
    "leaky ReLU of slope 0.2": partial(leaky, slope=0.2),
    "leaky ReLU of slope 0.3": partial(leaky, slope=0.3),
    "exact GELU (erf)": lambda x: 0.5 * x * (1 + erf(x / np.sqrt(2))),
    "GELU approximated by tanh": gelu_by_tanh,
    "GELU approximated by a sigmoid": lambda x: x * expit(1.702 * x),
    "SiLU": lambda x: x * expit(x),
    "sigmoid": expit,
    "tanh": np.tanh,
    "ELU": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "softplus": lambda x: np.logaddexp(x, 0),
    "Mish": lambda x: x * np.tanh(np.logaddexp(x, 0)),
    "hard sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "hard SiLU": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "softmax over the last axis": lambda x: _softmax(x, -1),
    "softmax over axis 1": lambda x: _softmax(x, 1 if x.ndim > 1 else 0),
}


def activation_hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """Every other function of the layer's input, once one is known that gives the reference."""
    for _, x in evidence.inputs():
        if x.shape != evidence.reference.shape:
            continue
        found = settle(((name, function(x)) for name, function in FUNCTIONS.items()), evidence.reference)
        if found is None or found[0] == "no activation":
            continue
        for name, function in FUNCTIONS.items():
            if name == "no activation":
                yield Hypothesis(f"the activation is missing, which is {found[0]} in the reference", x)
            elif name != found[0]:
                yield Hypothesis(f"the activation is {name}, where the reference has {found[0]}", function(x))
        return


def applied_hypotheses(evidence: Evidence) -> Iterator[Hypothesis]:
    """An activation that the port applies to the layer's answer, and the reference does not."""
    for name, function in FUNCTIONS.items():
        if name != "no activation":
            prediction = function(np.asarray(evidence.reference, np.float64))
            yield Hypothesis(f"an activation too many after it: {name}", prediction)


def _softmax(x: np.ndarray, axis: int) -> np.ndarray:
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)
