"""The names of arrays: what frameworks and wrappers make of one name, and which arrays are no weights."""

import re
from collections import Counter
from collections.abc import Collection, Mapping

from common.norm_names import CANONICAL

# What frameworks call the arrays of a layer, beside PyTorch's names.
_LEAVES = {
    **CANONICAL,
    **{"kernel": "weight", "scale": "weight", "moving_var": "running_var", "mean": "running_mean"},
    **{"_mean": "running_mean", "_variance": "running_var", "var": "running_var", "embedding_table": "weight"},
    **{"in_proj_weight": "weight", "in_proj_bias": "bias"},
}
# Parts of a path that say in what an array's network was wrapped.
_WRAPPERS = {"module", "_orig_mod", "model", "network", "net", "backbone", "bottom_up", "body", "encoder", "student"}
_DEEPEST_PREFIX = 3  # parts of a path

_LEFT_OUT = {
    "counts batches": re.compile(r"(.+\.)?num_batches_tracked"),
    "the optimizer's": re.compile(
        r"(moments?\d?|accum|stat|adam_[mv]|velocity|exp_avg|exp_avg_sq)\..+|.+_momentum|beta[12]_power|"
        r"learning_rate|momentum|global_step|epoch_num|step_num|current_iterator_step|last_overflow_iterator_step"
    ),
}
_MADE_ANEW = re.compile(
    r"(.+\.)?(relative_position_index|relative_coords_table|attn_mask|position_ids|inv_freq|empty_weight|"
    r"cell_anchors\.\d+|pixel_mean|pixel_std|data_preprocessor\.(mean|std))"
)


def plain(name: str) -> str:
    """A name with PyTorch's separators and its word for the array of the layer."""
    path = name.removesuffix(":0").replace("/", ".")
    return f"{layer_of(path)}.{_leaf(path)}".removeprefix(".")


def layer_of(name: str) -> str:
    """The path of the layer that an array belongs to, "" for an array of no layer."""
    return name.replace("/", ".").rpartition(".")[0]


def leaf_of(name: str) -> str:
    """What an array is in its layer, in PyTorch's words: "weight", "running_mean"."""
    return _leaf(name.removesuffix(":0").replace("/", "."))


def why_left_out(name: str) -> str:
    """Why an array counts for nothing in a comparison of weights; "" for one that counts."""
    return next((reason for reason, names in _LEFT_OUT.items() if names.fullmatch(name)), "")


def is_made_anew(name: str) -> bool:
    """Whether an array follows from a network's settings, so that a file may lack it."""
    return _MADE_ANEW.fullmatch(name) is not None


def pair_names(ours: Collection[str], theirs: Collection[str]) -> dict[str, str]:
    """Pairs the names that say the same: {ours: theirs}.

    Equal names come first, then those that are equal in PyTorch's words, then those that are equal behind a prefix
    that all or many of the names of one side have.
    """
    pairs = {name: name for name in ours if name in set(theirs)}
    left = _by_plain_name(name for name in ours if name not in pairs)
    right = _by_plain_name(name for name in theirs if name not in pairs)
    found = _take(left, right, {name: name for name in left if name in right})
    while prefixed := _prefixed(left, right):
        found |= _take(left, right, prefixed)
    return pairs | found


def derive_names(ours: Collection[str], theirs: Collection[str], pairs: Mapping[str, str]) -> dict[str, str]:
    """Pairs names by what other pairs show of the paths: {ours: theirs}.

    pairs: arrays that are known to hold the same numbers. Where most arrays of `layer1.0` are found in `res2.0`,
    `layer1.0.norm.bias` should be `res2.0.norm.bias`; where a layer's weight is found, its bias should be beside it.
    """
    by_plain_name = _by_plain_name(theirs)
    blocks: dict[str, Counter[str]] = {}
    layers: dict[str, Counter[str]] = {}
    for name, given in pairs.items():
        layer, its_layer = layer_of(plain(name)), layer_of(plain(given))
        layers.setdefault(layer, Counter())[its_layer] += 1
        blocks.setdefault(layer_of(layer), Counter())[layer_of(its_layer)] += 1
    derived: dict[str, str] = {}
    for name in ours:
        layer, leaf = layer_of(plain(name)), leaf_of(name)
        within = f"{layer.rpartition('.')[2]}.{leaf}"
        expected = [f"{block}.{within}".removeprefix(".") for block, _ in _most_common(blocks, layer_of(layer))]
        expected += [f"{its_layer}.{leaf}".removeprefix(".") for its_layer, _ in _most_common(layers, layer)]
        found = next((by_plain_name[each] for each in expected if each in by_plain_name), None)
        if found is not None and found not in derived.values():
            derived[name] = found
    return derived


def _most_common(counts: Mapping[str, Counter[str]], key: str) -> list[tuple[str, int]]:
    return counts[key].most_common() if key in counts else []


def _leaf(path: str) -> str:
    last = path.rpartition(".")[2]
    return _LEAVES.get(last, last)


def _by_plain_name(names: Collection[str]) -> dict[str, str]:
    """{plain name: name} of those that no other name has become equal to."""
    names = list(names)
    counts = Counter(map(plain, names))
    return {plain(name): name for name in names if counts[plain(name)] == 1}


def _take(left: dict[str, str], right: dict[str, str], pairs: Mapping[str, str]) -> dict[str, str]:
    """Takes pairs of plain names out of both sides -> pairs of names."""
    return {left.pop(ours): right.pop(theirs) for ours, theirs in pairs.items()}


def _prefixed(left: Collection[str], right: Collection[str]) -> dict[str, str]:
    """The pairs that the best prefix of one side makes; none where only an accident may have made them."""
    candidates = []
    for ours, theirs, are_swapped in ((left, right, False), (right, left, True)):
        for prefix in _prefixes(ours):
            pairs = {name: rest for name in ours if (rest := _behind(prefix, name)) and rest in theirs}
            is_wrapper = set(prefix.removesuffix(".").split(".")) <= _WRAPPERS
            if pairs and (is_wrapper or 2 * len(pairs) >= min(len(left), len(right))):
                candidates.append({b: a for a, b in pairs.items()} if are_swapped else pairs)
    return max(candidates, key=len, default={})


def _prefixes(names: Collection[str]) -> list[str]:
    """The first parts of the paths, each with its dot."""
    found = {}
    for name in names:
        parts = name.split(".")[:-1][:_DEEPEST_PREFIX]
        found |= {".".join(parts[:count]) + ".": None for count in range(1, len(parts) + 1)}
    return list(found)


def _behind(prefix: str, name: str) -> str:
    return name[len(prefix) :] if name.startswith(prefix) else ""
