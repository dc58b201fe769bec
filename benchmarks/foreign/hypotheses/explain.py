"""The causes of a layer's departure: those that a test confirms, else those that are usual."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from benchmarks.foreign.hypotheses.activations import activation_hypotheses, applied_hypotheses
from benchmarks.foreign.hypotheses.attention import attention_hypotheses
from benchmarks.foreign.hypotheses.convolutions import convolution_hypotheses, narrow
from benchmarks.foreign.hypotheses.evidence import TEST, Evidence, Hypothesis, crop, tested
from benchmarks.foreign.hypotheses.layouts import with_channels_as
from benchmarks.foreign.hypotheses.linear import linear_hypotheses
from benchmarks.foreign.hypotheses.norms import norm_hypotheses
from benchmarks.foreign.hypotheses.orders import order_hypotheses
from benchmarks.foreign.hypotheses.pooling import pooling_hypotheses
from benchmarks.foreign.hypotheses.preprocessing import preprocessing_hypotheses
from benchmarks.foreign.hypotheses.resizing import resizing_hypotheses
from benchmarks.foreign.hypotheses.shortcuts import passed_through, shortcut_hypotheses
from benchmarks.foreign.hypotheses.standardising import standardising_hypotheses
from benchmarks.foreign.hypotheses.statistics import statistics_hypotheses
from benchmarks.parity.causes import usual_causes
from benchmarks.parity.finding import Finding

CAUSES = 2  # told of a departure
ENOUGH_IMAGES = 4
MOST_VALUES = 1 << 19  # of an answer, in which a hypothesis is tested

Family = Callable[[Evidence], Iterator[Hypothesis]]

# By a part of the class's name in lower case; a class that has none of these may be a block, or anything.
_FAMILIES: dict[str, tuple[Family, ...]] = {
    "batchnorm": (norm_hypotheses,),
    "layernorm": (standardising_hypotheses,),
    "groupnorm": (standardising_hypotheses,),
    "instancenorm": (standardising_hypotheses,),
    "rmsnorm": (standardising_hypotheses,),
    "norm": (norm_hypotheses, standardising_hypotheses),
    "attention": (attention_hypotheses, linear_hypotheses),
    "conv": (convolution_hypotheses,),
    "patchembed": (convolution_hypotheses,),
    "linear": (linear_hypotheses, attention_hypotheses),
    "dense": (linear_hypotheses, attention_hypotheses),
    "pool": (pooling_hypotheses,),
    "upsample": (resizing_hypotheses,),
    "resize": (resizing_hypotheses,),
    "interpolate": (resizing_hypotheses,),
    "softmax": (attention_hypotheses, activation_hypotheses),
    "lu": (activation_hypotheses,),  # ReLU, GELU, SiLU, ELU
    "sigmoid": (activation_hypotheses,),
    "swish": (activation_hypotheses,),
    "tanh": (activation_hypotheses,),
    "mish": (activation_hypotheses,),
    "activation": (activation_hypotheses,),
    "preprocessing": (preprocessing_hypotheses,),
}
_ANY: tuple[Family, ...] = (
    activation_hypotheses,
    shortcut_hypotheses,
    norm_hypotheses,
    standardising_hypotheses,
    pooling_hypotheses,
    resizing_hypotheses,
    attention_hypotheses,
    linear_hypotheses,
)
_SIMPLE: tuple[Family, ...] = (passed_through, order_hypotheses, applied_hypotheses)
# The rest see the first images alone where these are large.
_OF_ALL_IMAGES = (norm_hypotheses, attention_hypotheses, linear_hypotheses, order_hypotheses)


def explain(finding: Finding, evidence: Evidence) -> Finding:
    """The finding of a layer that departs first, with at most two causes."""
    causes = find_causes(evidence)
    if not causes:
        causes = _usual(finding)
        images = np.shape(evidence.reference)[0] if np.ndim(evidence.reference) else 1
        if finding.pattern == "noise" and np.ndim(evidence.reference) == 2 and images < ENOUGH_IMAGES:
            few = "one image does" if images == 1 else f"{images} images do"
            causes[1:] = [f"{few} not tell a missing bias from noise: dump {ENOUGH_IMAGES} or more"]
    return _with_causes(finding, causes)


def _usual(finding: Finding) -> list[str]:
    """The usual causes; those of the projection behind an attention are the attention's, which is no layer."""
    kind = finding.kind.lower()
    if ("linear" in kind or "dense" in kind) and _is_behind_attention(finding.name):
        return list(usual_causes(finding.pattern, "layer", "block.attn.proj"))
    return list(usual_causes(finding.pattern, finding.kind, finding.name))


def _is_behind_attention(name: str) -> bool:
    owner, _, last = name.split("@", 1)[0].rpartition(".")
    return "att" in owner and last in ("proj", "out_proj", "dense", "o_proj", "to_out")


def explain_statistic(finding: Finding, before: np.ndarray, reference: np.ndarray, other: np.ndarray) -> Finding:
    """The finding of a running statistic that departs after a step of training; before: what it was before the step."""
    evidence = Evidence(finding.name, finding.kind, reference, other)
    found = tested(evidence, statistics_hypotheses(before, reference, other))
    return _with_causes(finding, _best(found) or list(usual_causes("", finding.kind, finding.name)))


def find_causes(evidence: Evidence) -> list[str]:
    """The causes that give the port's answer, the best first; at most two."""
    both = (np.asarray(evidence.reference), np.asarray(evidence.other))
    if not all(array.ndim and array.size and np.isfinite(array).all() for array in both):
        return []
    evidence = replace(evidence, other=with_channels_as(both[1], both[0].shape))
    some, found = crop(evidence, MOST_VALUES), []
    for family in _families(evidence.kind):
        if found and family is convolution_hypotheses and not evidence.own():
            break  # to solve for a kernel takes long
        known = evidence if family in _OF_ALL_IMAGES else some
        known = narrow(known) if family is convolution_hypotheses else known
        found += tested(known, family(known))
    return _best(sorted(found, key=lambda entry: entry[0]))


def _families(kind: str) -> tuple[Family, ...]:
    kind = kind.lower().replace("_", "")
    known = [part for part in _FAMILIES if part in kind]
    return (*_FAMILIES[max(known, key=len)], *_SIMPLE) if known else (*_ANY, *_SIMPLE, convolution_hypotheses)


def _best(found: list[tuple[float, str]]) -> list[str]:
    """The best two of what gives the port's answer; the second only where it is nearly as good as the first.

    What was read from the answer counts only where no test gave it.
    """
    found = [entry for entry in found if entry[1].startswith(TEST)] or found
    best = list({cause: left for left, cause in reversed(found)}.items())[::-1]
    near = [cause for cause, left in best if left <= max(100 * best[0][1], 1e-6)]
    return near[:CAUSES]


def _with_causes(finding: Finding, causes: list[str]) -> Finding:
    first, second = [*causes, "", ""][:CAUSES]
    return replace(finding, usual_cause=first, second_cause=second)
