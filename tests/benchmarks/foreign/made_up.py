"""Made-up dumps in memory, for the tests of how two dumps' arrays are paired."""

from collections.abc import Mapping

import numpy as np

from benchmarks.foreign.layer_weights import NO_WEIGHTS, LayerWeights
from benchmarks.foreign.layers import compare_layers
from benchmarks.foreign.pairing import Pair, pair
from benchmarks.foreign.rules import NO_RULES, Rules
from benchmarks.parity.finding import Run
from benchmarks.parity.judge import Judge
from benchmarks.parity.tolerances import Tolerances

KINDS = {
    "stem.conv": "Conv2d",
    "stem.norm": "BatchNorm2d",
    "stem.relu": "ReLU",
    "stem": "Sequential",
    "pool": "MaxPool2d",
    "block.qkv": "Linear",
    "block.proj": "Linear",
    "drop": "Dropout",
    "fc": "Linear",
}


class Held:
    """Arrays in memory, as a dump offers them."""

    def __init__(self, arrays: Mapping[str, np.ndarray], kinds: Mapping[str, str] | None = None):
        self.arrays, self.kinds = dict(arrays), dict(kinds or {})
        self.names = list(self.arrays)
        self.shapes = {name: array.shape for name, array in self.arrays.items()}

    def array(self, name: str) -> np.ndarray:
        return self.arrays[name]


def layers(seed: int = 0) -> dict[str, np.ndarray]:
    """The layers of a small network: a stem, tokens (2, 36, 12) with attention, and a classifier."""
    rng = np.random.default_rng(seed)

    def drawn(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    found = {"stem.conv": drawn(2, 12, 12, 12), "stem.norm": drawn(2, 12, 12, 12)}
    found["stem.relu"] = found["stem"] = np.maximum(found["stem.norm"], 0)
    found |= {"pool": drawn(2, 12, 6, 6), "block.qkv": drawn(2, 36, 36), "block.proj": drawn(2, 36, 12)}
    return found | {"drop": found["block.proj"], "fc": drawn(2, 10)}


def reference() -> Held:
    return Held(layers(), KINDS)


def foreign(changes: Mapping[str, np.ndarray | None] | None = None) -> Held:
    """A port of it with names and layouts of its own: channels last, a map for tokens, queries, keys and values apart.

    It has no module for its ReLU and none for dropout, but one more that passes its input through. changes: arrays in
    place of the reference's, or None for a layer that it does not have either.
    """
    own = layers() | dict(changes or {})
    parts = {
        "conv_0": ("Conv2D", own["stem.conv"].transpose(0, 2, 3, 1)),
        "batch_norm_0": ("BatchNorm", own["stem.norm"].transpose(0, 2, 3, 1)),
        "max_pool": ("Pool", None if own["pool"] is None else own["pool"].transpose(0, 2, 3, 1)),
        "query": ("Dense", own["block.qkv"][..., :12].reshape(2, 6, 6, 12)),
        "key": ("Dense", own["block.qkv"][..., 12:24].reshape(2, 6, 6, 12)),
        "value": ("Dense", own["block.qkv"][..., 24:].reshape(2, 6, 6, 12)),
        "output": ("Dense", own["block.proj"].reshape(2, 6, 6, 12)),
        "identity": ("Identity", own["block.proj"].reshape(2, 6, 6, 12)),
        "logits": ("Dense", own["fc"][:, :, None, None]),
    }
    present = {name: (kind, array) for name, (kind, array) in parts.items() if array is not None}
    return Held(
        {name: array for name, (_, array) in present.items()}, {name: kind for name, (kind, _) in present.items()}
    )


def judged(
    ours: Held, theirs: Held, rules: Rules = NO_RULES, weights: LayerWeights = NO_WEIGHTS
) -> tuple[Run, list[Pair]]:
    """The findings of gate 1 by the least tolerance, and the pairs."""
    pairs = pair(ours, theirs, rules, weights)

    def judging(name, kind, array, other):
        return Judge(Tolerances())(1, name, kind, array, other)

    return Run("port", "reference", compare_layers(pairs, ours, theirs, judging)), pairs
