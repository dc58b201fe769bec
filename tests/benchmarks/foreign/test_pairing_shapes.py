"""Layers of another shape than their counterparts are paired by their kind, place and weights, and with no other."""

import numpy as np
import pytest

from benchmarks.foreign import Recorder
from benchmarks.foreign.arrays import in_memory
from benchmarks.foreign.dump import read_dump
from benchmarks.foreign.judging import judge_dumps
from benchmarks.foreign.layer_weights import NO_WEIGHTS, LayerWeights
from benchmarks.foreign.measure import Measure
from benchmarks.parity.summary import passed
from tests.benchmarks.foreign import small_network as net
from tests.benchmarks.foreign import small_resnet
from tests.benchmarks.foreign.faults import Planter, settings, together
from tests.benchmarks.foreign.made_up import Held, judged
from tests.benchmarks.foreign.small_resnet import NAMES

# Each with the layer that departs, and a word of its cause.
FAULTS: dict[str, tuple[str, str, Planter]] = {
    "stride in the first convolution of the block": (
        "conv1",
        "stride is 2",
        together(settings("conv1", stride=2), settings("conv2", stride=1)),
    ),
    "no stride": ("conv2", "stride", together(settings("conv2", stride=1), settings("narrow", stride=1))),
    "no padding": ("stem.conv", "padding is missing", settings("stem.conv", sides=(0, 0, 0, 0))),
    "no padding at the end": ("last", "padding is missing", settings("last", sides=(0, 0, 0, 0))),
    "ceil mode": ("stem.pool", "ceil mode", settings("stem.pool", sides=(1, 2, 1, 2))),
}


def planted(fault: str) -> net.Network:
    network = small_resnet.build()
    FAULTS[fault][2](network, {})
    return network


def weights(channels_last: bool) -> LayerWeights:
    theirs = small_resnet.foreign_weights(channels_last)
    return LayerWeights(in_memory("", small_resnet.draw_weights()), in_memory("", theirs))


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("has_weights", [False, True])
def test_a_right_port_passes(channels_last, has_weights):
    known = weights(channels_last) if has_weights else NO_WEIGHTS
    port = small_resnet.foreign(small_resnet.build(), channels_last)
    run, pairs = judged(small_resnet.dump(small_resnet.build()), port, weights=known)
    assert passed([run]) and all(found.theirs == (NAMES[found.ours][0],) for found in pairs)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("has_weights", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
def test_the_layer_whose_shape_departs_is_the_first(fault, has_weights, channels_last):
    known = weights(channels_last) if has_weights else NO_WEIGHTS
    reference, port = small_resnet.dump(small_resnet.build()), small_resnet.foreign(planted(fault), channels_last)
    run, pairs = judged(reference, port, weights=known)
    name = FAULTS[fault][0]
    assert (run.first().name, run.first().pattern) == (name, "another shape")
    found = {each.ours: each for each in pairs}
    has_own = f"{name}.weight" in small_resnet.draw_weights()
    assert (found[name].theirs, found[name].way) == ((NAMES[name][0],), "kind and position")
    assert found[name].sure == ("likely" if has_weights and has_own else "guessed")
    wrong = {each.ours: each.theirs for each in pairs if each.compared and each.theirs != (NAMES[each.ours][0],)}
    assert not wrong


def record(folder, network: net.Network, dtype: type = np.float32, foreign: bool = False) -> None:
    """Writes the dump of a network, with its weights."""
    image = {"image": net.draw_image(2).astype(dtype)}
    given = small_resnet.foreign_weights(False) if foreign else small_resnet.draw_weights()
    held = small_resnet.foreign(network, False) if foreign else small_resnet.dump(network, dtype)
    recorder = Recorder(folder, image, given, "numpy")
    for name in held.names:
        recorder.layer(name, held.array(name), held.kinds[name])


@pytest.mark.parametrize("fault", FAULTS)
def test_the_cause_is_told(tmp_path, fault):
    record(tmp_path / "reference", small_resnet.build())
    record(tmp_path / "reference/float64", small_resnet.build(), np.float64)
    record(tmp_path / "port", planted(fault), foreign=True)
    reference = read_dump(tmp_path / "reference")
    first = judge_dumps(reference, read_dump(tmp_path / "port"), Measure(reference)).run.first()
    assert first.name == FAULTS[fault][0] and FAULTS[fault][1] in first.usual_cause + first.second_cause


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def test_what_two_dumps_have_alone_is_no_pair_where_they_end_alike():
    """A convolution that the reference alone observes, before a layer that agrees, and one of the port behind it."""
    alike = {"first": drawn(2, 4, 6, 6), "middle": drawn(2, 4, 5, 6), "end": drawn(2, 7)}
    ours = {"first": alike["first"], "here": drawn(2, 4, 8, 8), "middle": alike["middle"], "end": alike["end"]}
    theirs = {"a": alike["first"], "b": alike["middle"], "c": drawn(2, 4, 4, 4), "d": alike["end"]}
    kinds = dict.fromkeys([*ours, *theirs], "Conv2d")
    run, pairs = judged(Held(ours, kinds), Held(theirs, kinds))
    assert passed([run])
    assert {each.ours: each.way for each in pairs if each.ours}["here"] == "missing"


def test_a_branch_that_departs_is_paired_across_one_that_agrees_whatever_agrees_behind_them():
    """The reference does the shortcut last and the port first; behind both the difference is lost."""
    alike = {"first": drawn(2, 4, 6, 6), "shortcut": drawn(2, 4, 5, 6), "end": drawn(2, 7)}
    large = {f"{part}{number}": drawn(2, 4 + number, 8, 8) for number in (0, 1) for part in ("conv", "norm")}
    small = {name: drawn(*array.shape[:2], 4, 4) for name, array in large.items()}
    ours = {"first": alike["first"], **large, "shortcut": alike["shortcut"], "end": alike["end"]}
    theirs = {"a": alike["first"], "b": alike["shortcut"]} | {f"their_{name}": small[name] for name in small}
    theirs |= {"d": alike["end"]}
    kinds = {name: "BatchNorm2d" if "norm" in name else "Conv2d" for name in (*ours, *theirs)}
    run, pairs = judged(Held(ours, kinds), Held(theirs, kinds))
    assert run.first().name == "conv0"
    assert {each.ours: each.theirs for each in pairs if each.ours in large} == {x: (f"their_{x}",) for x in large}


@pytest.mark.parametrize(
    ("kind", "shape", "weight"),
    [
        ("Conv2d", (2, 4, 3, 3), (4, 4, 3, 3)),  # another number of weights
        ("Conv2d", (2, 5, 3, 3), (4, 3, 3, 3)),  # another number of channels
        ("Conv2d", (2, 4, 6, 3), (4, 3, 3, 3)),  # half as wide and as high as before
        ("MaxPool2d", (2, 4, 3, 3), (4, 3, 3, 3)),  # another kind
    ],
)
def test_layers_that_are_not_alike_otherwise_are_no_pair(kind, shape, weight):
    ours = Held({"first": drawn(2, 9), "conv": drawn(2, 4, 6, 6)}, {"conv": "Conv2d", "first": "Linear"})
    theirs = Held({"a": drawn(2, 9), "b": drawn(*shape)}, {"b": kind, "a": "Dense"})
    known = LayerWeights(in_memory("", {"conv.weight": drawn(4, 3, 3, 3)}), in_memory("", {"b.weight": drawn(*weight)}))
    _, pairs = judged(ours, theirs, weights=known)
    assert {each.ours: each.way for each in pairs if each.ours} == {"first": "content", "conv": "missing"}


def ways(ours: dict, theirs: dict, kinds: dict) -> dict[str, str]:
    """How each array of the reference is paired, behind one that both have."""
    both = drawn(2, 9)
    known = {name: kinds.get(name, "Conv2d") for name in (*ours, *theirs)}
    _, pairs = judged(Held({"first": both} | ours, known), Held({"a": both} | theirs, known))
    return {each.ours: each.way for each in pairs if each.ours in ours}


def test_layers_that_do_not_stand_side_by_side_are_no_parts_of_one():
    ours = {"conv1": drawn(2, 8, 4, 4), "norm": drawn(2, 8, 5, 5), "conv2": drawn(2, 8, 4, 4) + 1}
    assert set(ways(ours, {"large": drawn(2, 16, 4, 4)}, {"norm": "BatchNorm2d"}).values()) == {"missing"}
    ours = {name: ours[name] for name in ("conv1", "conv2")}
    assert set(ways(ours, {"large": drawn(2, 16, 4, 4)}, {}).values()) == {"kind and position"}
    assert set(ways(ours, {"large": drawn(2, 8, 8, 4)}, {}).values()) == {"missing"}


def test_the_last_layer_of_a_container_is_no_other_container():
    norm = drawn(2, 4, 6, 6)
    found = ways({"block.norm": norm, "block": norm}, {"unit": drawn(2, 4, 3, 3)}, {"unit": "Unit", "block": "Block"})
    assert found["block.norm"] == "missing"


def test_one_side_alone_may_differ_by_rounding():
    pools = {"pool": "MaxPool2d", "their_pool": "MaxPool2d"}
    assert ways({"pool": drawn(2, 4, 5, 6)}, {"their_pool": drawn(2, 4, 4, 6)}, pools) == {"pool": "kind and position"}
    assert ways({"pool": drawn(2, 4, 9, 6)}, {"their_pool": drawn(2, 4, 4, 6)}, pools) == {"pool": "missing"}


def test_what_weights_say_of_two_layers():
    kernel, other, ones = drawn(4, 3, 2, 2), drawn(4, 3, 2, 2) + 1, np.ones(5, np.float32)
    ours = {"conv.weight": kernel, "conv.bias": drawn(4), "second.weight": other, "norm.weight": ones}
    theirs = {
        "c.kernel": kernel.transpose(2, 3, 1, 0),
        "fresh.kernel": other * 2,
        "bn.beta": drawn(5),
        "bn.gamma": ones,
    }
    said = LayerWeights(in_memory("", ours), in_memory("", theirs)).relation
    assert said("conv", "c") == said("module.conv@2", "c/0") == "same"
    assert said("conv", "fresh") == "other"  # the port has these numbers in another layer
    assert said("conv", "bn") == "other"
    assert said("second", "fresh") == said("second", "c") == "alike"
    assert said("norm", "bn") == "alike"  # which ones say nothing of
    assert said("conv", "nowhere") == said("nowhere", "c") == ""
