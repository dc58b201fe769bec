"""A port that keeps its kernels as (h, w, in, out) needs no rule; one kernel that is turned by mistake is a fault."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.foreign.arrays import in_memory
from benchmarks.foreign.pairing import brought
from benchmarks.foreign.parameters import pair_parameters
from benchmarks.foreign.rules import NO_RULES, Rules, read_rules

RNG = np.random.default_rng(0)
OURS = {
    "conv1.weight": RNG.normal(size=(8, 4, 3, 3)),
    "conv2.weight": RNG.normal(size=(3, 3, 3, 3)),
    "depth.weight": RNG.normal(size=(8, 1, 3, 3)),
    "fc.weight": RNG.normal(size=(5, 8)),
    "square.weight": RNG.normal(size=(8, 8)),
    "fc.bias": RNG.normal(size=5),
}
HWIO, TURNED = (2, 3, 1, 0), (1, 0)


def kept(name: str) -> np.ndarray:
    """A parameter as TensorFlow keeps it."""
    array = OURS[name]
    if name == "depth.weight":
        return array.transpose(2, 3, 0, 1)
    return array.transpose({4: HWIO, 2: TURNED}.get(array.ndim, (0,)))


def paired(port: dict[str, np.ndarray], rules: Rules = NO_RULES) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The port's arrays in the reference's shapes and their forms in words, by the reference's names."""
    ours, theirs = in_memory("reference", OURS), in_memory("port", port)
    pairs = [found for found in pair_parameters(ours, theirs, (), rules) if found.compared]
    arrays = {found.ours: brought(found, theirs, OURS[found.ours].shape) for found in pairs}
    return arrays, {found.ours: found.form for found in pairs}


def test_kernels_of_another_order_are_equal_without_a_rule():
    arrays, forms = paired({name.replace("weight", "kernel"): kept(name) for name in OURS})
    assert {name for name, array in arrays.items() if np.array_equal(array, OURS[name])} == set(OURS)
    assert forms["conv1.weight"] == forms["conv2.weight"] == "kernels kept as (h, w, in, out)"
    assert forms["square.weight"] == "matrices kept as (in, out)"


def test_where_the_numbers_contradict_each_other_nothing_is_turned():
    """A square matrix that stands as the reference's may be right; nothing tells how the other squares are kept."""
    arrays, forms = paired({name: kept(name) for name in OURS} | {"square.weight": OURS["square.weight"]})
    assert np.array_equal(arrays["square.weight"], OURS["square.weight"]) and forms["square.weight"] == ""
    assert np.array_equal(arrays["fc.weight"], OURS["fc.weight"])


@pytest.mark.parametrize("name", ["square.weight", "conv2.weight"])
def test_one_that_is_turned_among_others_that_are_not_differs(name):
    arrays, forms = paired(OURS | {name: kept(name)})
    assert np.array_equal(arrays[name], kept(name)) and forms[name] == ""


def test_a_rule_that_gives_an_order_goes_first(tmp_path: Path):
    (tmp_path / "map.json").write_text('{"conv1.kernel": {"is": "conv1.weight", "permute": [3, 2, 0, 1]}}')
    rules = read_rules(tmp_path / "map.json")
    port = {name.replace("weight", "kernel"): kept(name) for name in OURS}
    arrays, _ = paired(port, rules)
    assert np.array_equal(arrays["conv1.weight"], OURS["conv1.weight"])
