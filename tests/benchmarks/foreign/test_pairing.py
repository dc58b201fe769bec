"""Which arrays of two dumps are paired, on made-up layers whose partners are known."""

import numpy as np
import pytest

from benchmarks.foreign.arrays import in_memory
from benchmarks.foreign.pairing import Pair, brought, pair
from benchmarks.foreign.parameters import pair_parameters
from benchmarks.foreign.rules import NO_RULES
from benchmarks.foreign.verdict import describe_verdict, pairs_for_json
from benchmarks.parity.summary import passed
from tests.benchmarks.foreign.made_up import KINDS, Held, foreign, judged, layers, reference

RIGHT = {
    "stem.conv": (("conv_0",), "content", "sure"),
    "stem.norm": (("batch_norm_0",), "content", "sure"),
    "stem.relu": ((), "missing", ""),
    "stem": ((), "passes through", ""),
    "pool": (("max_pool",), "content", "sure"),
    "block.qkv": (("query", "key", "value"), "content", "sure"),
    "block.proj": (("output",), "content", "likely"),
    "drop": (("identity",), "content", "likely"),
    "fc": (("logits",), "content", "sure"),
}


def by_name(pairs: list[Pair]) -> dict[str, tuple]:
    return {each.ours: (each.theirs, each.way, each.sure) for each in pairs if each.ours}


def first(run):
    return run.first().name, run.first().pattern


def test_a_right_port_of_other_names_and_layouts_passes_without_a_map():
    ours, theirs = reference(), foreign()
    run, pairs = judged(ours, theirs)
    assert by_name(pairs) == RIGHT
    assert passed([run]) and len(run.findings) == 7
    for found in pairs:
        if found.compared:
            assert np.array_equal(brought(found, theirs, ours.shapes[found.ours]), ours.array(found.ours))
    assert {found.ours: found.form for found in pairs if found.form} == {
        "stem.conv": "channels last",
        "stem.norm": "channels last",
        "pool": "channels last",
        "block.qkv": "joined along axis 3, a map as flat tokens",
        "block.proj": "a map as flat tokens",
        "drop": "a map as flat tokens",
        "fc": "unit axes",
    }


def test_the_reverse_passes_too():
    run, pairs = judged(foreign(), reference())
    assert passed([run])
    found = by_name(pairs)
    assert [found[name][0] for name in ("query", "key", "value")] == [("block.qkv",)] * 3
    assert {each.way for each in pairs if each.theirs == ("stem",)} == {"passes through"}
    assert {each.way for each in pairs if each.theirs == ("stem.relu",)} == {"extra"}


def test_kinds_are_a_help_and_no_need():
    run, pairs = judged(reference(), Held(foreign().arrays))
    assert passed([run])
    assert {name: found[0] for name, found in by_name(pairs).items()} == {name: each[0] for name, each in RIGHT.items()}


@pytest.mark.parametrize("name", ["stem.conv", "stem.norm", "pool", "block.proj", "fc"])
@pytest.mark.parametrize("with_kinds", [True, False])
def test_what_departs_is_paired_by_its_place(name, with_kinds):
    """Everything behind the fault is other numbers, as in a network."""
    names = list(KINDS)
    other = layers(1)
    changes = {later: other[later] for later in names[names.index(name) :]}
    theirs = foreign(changes)
    run, pairs = judged(reference(), theirs if with_kinds else Held(theirs.arrays))
    assert first(run)[0] == name
    assert by_name(pairs)[name][:2] == (RIGHT[name][0], "kind and position")


def test_a_departure_keeps_its_content_where_it_is_small():
    run, _ = judged(reference(), foreign({"stem.norm": layers()["stem.norm"] * np.float32(1.0005)}))
    assert first(run) == ("stem.norm", "scale") and len(run.failures()) == 1


def test_a_layer_of_another_shape_departs_and_hides_nothing_before_it():
    own = layers()
    stride = {"pool": np.zeros((2, 12, 5, 5), np.float32) + own["pool"][:, :, :5, :5]}
    run, _ = judged(reference(), foreign(stride))
    assert first(run) == ("pool", "another shape")
    assert run.first().detail == "(2, 5, 5, 12) instead of (2, 12, 6, 6)"
    run, _ = judged(reference(), foreign(stride | {"stem.norm": own["stem.norm"] * np.float32(1.01)}))
    assert first(run) == ("stem.norm", "scale")
    assert [finding.role for finding in run.failures()] == ["cause", "consequence"]


def test_arrays_that_are_not_alike_are_not_paired_before_what_agrees():
    """A softmax that one of the two observes, and scores that the other does."""
    rng = np.random.default_rng(5)
    ours, theirs = layers(), foreign().arrays
    scores = rng.standard_normal((2, 36, 36)).astype(np.float32)
    ours = {name: array for name, array in ours.items() if name != "fc"}
    ours |= {"softmax": np.exp(-scores), "fc": layers()["fc"]}
    logits = theirs.pop("logits")
    theirs |= {"scores": rng.standard_normal((2, 36, 36)).astype(np.float32), "logits": logits}
    run, pairs = judged(Held(ours, KINDS | {"softmax": "Softmax"}), Held(theirs))
    assert passed([run])
    assert by_name(pairs)["softmax"] == ((), "missing", "")


def test_parts_in_another_order_are_a_fault_where_what_follows_departs():
    own = layers()
    qkv = own["block.qkv"]
    exchanged = np.concatenate([qkv[..., 12:24], qkv[..., :12], qkv[..., 24:]], -1)
    run, pairs = judged(reference(), foreign({"block.qkv": exchanged}))
    assert passed([run])
    assert by_name(pairs)["block.qkv"][0] == ("key", "query", "value")
    other = layers(1)
    behind = {name: other[name] for name in ("block.proj", "fc")}
    run, _ = judged(reference(), foreign({"block.qkv": exchanged} | behind))
    assert first(run) == ("block.qkv", "channels permuted")


def test_the_path_goes_before_the_content_but_not_against_it():
    own = layers()
    ours = Held({"a": own["stem.conv"], "b": own["stem.norm"], "c": own["pool"]})
    exchanged = Held({"a": own["stem.norm"], "b": own["stem.conv"], "c": own["pool"]})
    run, pairs = judged(ours, exchanged)
    assert [each.way for each in pairs] == ["path"] * 3 and len(run.failures()) == 2
    elsewhere = Held({"a": own["stem.norm"], "z": own["stem.conv"], "b": own["stem.norm"], "c": own["pool"]})
    assert by_name(judged(ours, elsewhere)[1])["a"] == (("z",), "content", "sure")


@pytest.mark.parametrize("prefix", ["module.", "layer."])
def test_prefixes_of_wrappers_do_not_count(prefix):
    run, pairs = judged(reference(), Held({prefix + name: array for name, array in layers().items()}))
    assert {each.way for each in pairs} == {"path"} and passed([run])


def test_what_nothing_follows_may_not_be_missing():
    theirs = foreign()
    del theirs.arrays["logits"]
    run, _ = judged(reference(), Held(theirs.arrays, theirs.kinds))
    assert first(run) == ("fc", "missing")
    assert run.first().detail == "the port has nothing for fc, and nothing behind it to be held against the reference"


def test_arrays_that_say_nothing_are_not_paired_by_content():
    ours = Held({"zeros": np.zeros((3, 4)), "one": np.ones(1), "last": layers()["fc"]})
    theirs = Held({"ones": np.ones((2, 6)), "other": np.ones(1), "end": layers()["fc"]})
    found = by_name(pair(ours, theirs, NO_RULES))
    assert found["last"] == (("end",), "content", "sure")
    assert found["zeros"][1] == "missing"


def test_the_weights_of_a_layer_that_is_three_of_the_references_are_split():
    _, pairs = judged(foreign(), reference())
    whole = np.random.default_rng(7).standard_normal((36, 12)).astype(np.float32)
    parts = dict(zip(("query", "key", "value"), np.split(whole, 3), strict=True))
    ours = in_memory("", {f"{name}.weight": array for name, array in parts.items()})
    theirs = in_memory("", {"block.qkv.weight": whole})
    for found in pair_parameters(ours, theirs, pairs, NO_RULES):
        assert np.array_equal(brought(found, theirs, (12, 12)), parts[found.ours.removesuffix(".weight")])


def test_the_verdict_comes_first():
    run, pairs = judged(reference(), foreign())
    lines = describe_verdict(run, {1: pairs}).splitlines()
    assert lines[0].startswith("port agrees with reference: the port is right")
    assert lines[1].startswith("  last layer: fc (Linear) agrees")
    changes = {name: array for name, array in layers(1).items() if name in ("pool", "block.qkv", "block.proj", "fc")}
    run, pairs = judged(reference(), foreign(changes))
    lines = describe_verdict(run, {1: pairs}).splitlines()
    assert lines[0] == "port departs from reference first at pool (MaxPool2d; gate 1, layers)"
    assert lines[1] == "  is: max_pool, by kind and position, guessed, channels last"
    assert any("stem.norm agrees" in line and "no layer for" in line and "stem.relu" in line for line in lines[2:8])
    assert len(lines) < 20


def test_the_verdict_names_layers_with_weights_that_were_not_held():
    ours = reference()
    theirs = foreign()
    del theirs.arrays["batch_norm_0"]
    run, pairs = judged(ours, Held(theirs.arrays, theirs.kinds))
    assert passed([run])
    text = describe_verdict(run, {1: pairs})
    assert "  not held: stem.norm: the port has no such layer, and what follows agrees\n" in text


def test_pairs_are_told_to_programs_in_full():
    _, pairs = judged(reference(), foreign())
    found = pairs_for_json({1: pairs})["layers"]
    assert len(found) == len(pairs)
    assert found[5] == {
        "ours": "block.qkv",
        "theirs": ["query", "key", "value"],
        "way": "content",
        "sure": "sure",
        "form": "joined along axis 3, a map as flat tokens",
    }
