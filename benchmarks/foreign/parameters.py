"""Pairs the parameters of two dumps, and says of a layer that departs whether its own weights do."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.foreign.arrays import NamedArrays
from benchmarks.foreign.hypotheses.evidence import READ, TEST
from benchmarks.foreign.kernels import turn_kernels
from benchmarks.foreign.pairing import Pair, brought, pair
from benchmarks.foreign.paths import layer_of
from benchmarks.foreign.rules import Rules, shorten
from benchmarks.foreign.weights import names
from benchmarks.parity.difference import difference
from benchmarks.parity.finding import Finding
from benchmarks.parity.pattern import pattern

_SAME = 1e-6  # relative; weights that differ by more are others


def pair_parameters(ours: NamedArrays, theirs: NamedArrays, layers: Sequence[Pair], rules: Rules) -> list[Pair]:
    """The pairs of arrays that are called by parameters: weights, statistics or gradients.

    layers: the pairs of gate 1; the parameters of two layers that are a pair belong together by their last names. Those
    of a layer that is several of the other dump's are joined or split by what they hold.
    """
    whole = [found for found in layers if found.compared and len(found.theirs) == 1 and found.recipe.part is None]
    our_layers = {found.theirs[0]: found.ours for found in whole}
    given = {_by_our_layer(name, our_layers): name for name in theirs.names}
    shapes = {name: theirs.shapes[original] for name, original in given.items()}
    renamed = NamedArrays(theirs.source, shapes, lambda name: theirs.array(given[name]))
    turned = turn_kernels(ours, renamed, rules)
    return [
        replace(
            found,
            theirs=tuple(given[name] for name in found.theirs),
            recipe=turned.recipe(found.recipe, found.theirs),
        )
        for found in pair(ours, turned.arrays, rules)
    ]


def blame_weights(finding: Finding, ours: NamedArrays, theirs: NamedArrays, pairs: Sequence[Pair]) -> Finding:
    """The finding of a layer that departs with its parameters that are others in the port, if there are such.

    They are its first cause, for that is sure. What the layer's answer tells says in which way, and is the second; a
    cause that is only usual goes. pairs: those of the parameters.
    """
    prefix = f"{layer_of(finding.name)}."
    own = [found for found in pairs if found.compared and found.sure == "sure" and found.ours.startswith(prefix)]
    departures = {found.ours: how for found in own if (how := _departure(found, ours, theirs))}
    if not departures:
        return finding
    (first, how), *rest = departures.items()
    nor = f", nor {'are' if len(rest) > 1 else 'is'} {shorten([name for name, _ in rest])}" if rest else ""
    second = finding.usual_cause if finding.usual_cause.startswith((TEST, READ)) else ""
    return replace(finding, usual_cause=f"{first} is not the reference's ({how}){nor}", second_cause=second)


def _departure(found: Pair, ours: NamedArrays, theirs: NamedArrays) -> str:
    """How the port's parameter departs from the reference's; empty where it does not, or has another shape."""
    array = ours.array(found.ours)
    own = brought(found, theirs, array.shape)
    if own is None or not np.isfinite(own).all() or difference(array, own, _SAME).largest <= _SAME:
        return ""
    departure = pattern(array, own)
    return f"{departure.name}: {departure.detail}"


def _by_our_layer(name: str, our_layers: Mapping[str, str]) -> str:
    """A parameter's name as the reference has it, where its layer's is known."""
    path = names.layer_of(name)
    return f"{our_layers[path]}.{names.leaf_of(name)}" if path in our_layers else name
