"""Whether the weights of two layers may be one layer's: what is known of a pair of layers beside their answers."""

from functools import cached_property
from typing import Literal

import numpy as np

from benchmarks.foreign.arrays import in_memory
from benchmarks.foreign.content import Arrays, digest
from benchmarks.foreign.paths import bare, layer_of
from common.norm_names import CANONICAL

Relation = Literal["same", "alike", "other", ""]


class LayerWeights:
    """The weights of two dumps, by their layers; both may be empty.

    ours, theirs: the parameters of the reference and of the port, "conv1.weight" of the layer "conv1".
    """

    def __init__(self, ours: Arrays, theirs: Arrays):
        self._ours, self._theirs = _Weights(ours), _Weights(theirs)

    def relation(self, name: str, given: str) -> Relation:
        """What the weight of a layer of the reference is to that of a layer of the port.

        "same": they hold the same numbers, in whatever order. "other": they have another number of values, or the port
        has these numbers in another layer. "alike": neither. "": one of the two is not in its dump.
        """
        weight, other = self._ours.of(name), self._theirs.of(given)
        if weight is None or other is None:
            return ""
        if self._ours.size(weight) != self._theirs.size(other):
            return "other"
        if not self._ours.says_something(weight):
            return "alike"
        content = self._ours.content(weight)
        if self._theirs.content(other) == content:
            return "same"
        return "other" if self._theirs.has(content, self._ours.size(weight)) else "alike"


class _Weights:
    """The weight of each layer of one dump, of which each is read once, when it is asked for."""

    def __init__(self, arrays: Arrays):
        self._arrays = arrays
        self._known: dict[str, tuple[int, bool]] = {}  # by the parameter's name: its content, whether its values differ

    @cached_property
    def _by_layer(self) -> dict[str, str]:
        """The parameter of each layer that tells most of it: the largest, of several of one size the weight."""
        found: dict[str, str] = {}
        for name in self._arrays.names:
            layer = bare(name.rpartition(".")[0])
            if layer not in found or self._rank(name) > self._rank(found[layer]):
                found[layer] = name
        return found

    def _rank(self, name: str) -> tuple[int, bool]:
        leaf = name.rpartition(".")[2]
        return self.size(name), CANONICAL.get(leaf, leaf) == "weight"

    def of(self, layer: str) -> str | None:
        """The name of a layer's weight; None where the dump has none."""
        return self._by_layer.get(bare(layer)) or self._by_layer.get(bare(layer_of(layer)))

    def size(self, name: str) -> int:
        return int(np.prod(self._arrays.shapes[name], dtype=np.int64))

    def content(self, name: str) -> int:
        """A number that is the same for the same values in any order."""
        return self._read(name)[0]

    def says_something(self, name: str) -> bool:
        """Whether the values differ: the scales of a norm that was not trained are all one."""
        return self._read(name)[1]

    def has(self, content: int, size: int) -> bool:
        """Whether the weight of any layer holds these numbers."""
        return any(self.size(name) == size and self.content(name) == content for name in self._by_layer.values())

    def _read(self, name: str) -> tuple[int, bool]:
        if name not in self._known:
            values = np.asarray(self._arrays.array(name)).reshape(-1)
            self._known[name] = digest(values), values.size > 0 and bool(np.ptp(values) > 0)
        return self._known[name]


NO_WEIGHTS = LayerWeights(in_memory("", {}), in_memory("", {}))
