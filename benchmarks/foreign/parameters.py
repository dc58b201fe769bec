"""Pairs the parameters of two dumps, and says of a layer that departs whether its own weights do."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.foreign.arrays import NamedArrays
from benchmarks.foreign.pairing import Pair, brought, pair
from benchmarks.foreign.paths import layer_of
from benchmarks.foreign.rules import Rules
from benchmarks.parity.difference import difference
from benchmarks.parity.finding import Finding
from benchmarks.parity.pattern import pattern
from common.norm_names import CANONICAL

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
    return [replace(found, theirs=tuple(given[name] for name in found.theirs)) for found in pair(ours, renamed, rules)]


def blame_weights(finding: Finding, ours: NamedArrays, theirs: NamedArrays, pairs: Sequence[Pair]) -> Finding:
    """The finding of a layer that departs with its parameter that is another in the port, if there is one.

    pairs: those of the parameters.
    """
    prefix = f"{layer_of(finding.name)}."
    for found in pairs:
        if not (found.compared and found.sure == "sure" and found.ours.startswith(prefix)):
            continue
        array = ours.array(found.ours)
        own = brought(found, theirs, array.shape)
        if own is not None and np.isfinite(own).all() and difference(array, own, _SAME).largest > _SAME:
            departure = pattern(array, own)
            cause = f"{found.ours} is not the reference's ({departure.name}: {departure.detail})"
            return replace(finding, usual_cause=cause, second_cause="")
    return finding


def _by_our_layer(name: str, our_layers: Mapping[str, str]) -> str:
    """A parameter's name as the reference has it, where its layer's is known."""
    path, dot, leaf = name.rpartition(".")
    return f"{our_layers[path]}{dot}{CANONICAL.get(leaf, leaf)}" if path in our_layers else name
