"""What `map.json` may say, and what is refused."""

import json

import numpy as np
import pytest

from benchmarks.foreign.pairing import brought, pair
from benchmarks.foreign.rules import Rules, check_rules, read_rules
from common.errors import UserError
from tests.benchmarks.foreign.made_up import Held


def drawn(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


OURS = Held(
    {f"layers.{n}.{part}": drawn(2, 8 + n, 6) for n in (0, 1) for part in ("norm", "fc")} | {"head": drawn(2, 9)}
)


def found(content, theirs, ours=OURS):
    """{the reference's name: (the port's names, way)}, after the rules."""
    names = {each.ours or each.theirs: each for each in pair(ours, Held(theirs), Rules(content))}
    return names, {name: (each.theirs, each.way) for name, each in names.items()}


def test_regular_expressions_translate_names():
    theirs = {f"enc{n}/{part}": drawn(2, 8 + n, 6) * -1 for n in (0, 1) for part in ("ln", "dense")}
    _, ways = found({r"enc(\d)/ln": r"layers.\1.norm", r"enc(\d)/dense": r"layers.\1.fc"}, theirs)
    assert ways["layers.1.norm"] == (("enc1/ln",), "rule") and ways["layers.0.fc"] == (("enc0/dense",), "rule")


def test_a_name_goes_before_an_expression():
    theirs = {"a": drawn(2, 8, 6), "b": drawn(2, 8, 6) + 1}
    _, ways = found({"[ab]": "layers.0.norm", "b": "layers.0.norm", "a": "layers.0.fc"}, theirs)
    assert ways["layers.0.norm"] == (("b",), "rule") and ways["layers.0.fc"] == (("a",), "rule")


def test_a_rule_for_a_layer_serves_its_parameters():
    ours = Held({"norm.weight": drawn(5), "norm.bias": drawn(5) - 1})
    theirs = {"ln.weight": drawn(5) + 9, "ln.bias": drawn(5) + 7}
    _, ways = found({"ln": "norm"}, theirs, ours)
    assert ways == {"norm.weight": (("ln.weight",), "rule"), "norm.bias": (("ln.bias",), "rule")}


@pytest.mark.parametrize("rule", [["q", "k", "v"], {"join": ["q", "k", "v"], "axis": 2}])
def test_parts_are_joined(rule):
    whole = drawn(2, 4, 18)
    ours, theirs = Held({"qkv": whole}), dict(zip("qkv", np.split(whole + 1, 3, 2), strict=True))
    pairs, ways = found({"qkv": rule}, theirs, ours)
    assert ways == {"qkv": (("q", "k", "v"), "rule")}
    assert np.array_equal(brought(pairs["qkv"], Held(theirs), whole.shape), whole + 1)


@pytest.mark.parametrize("rule", [{"split": ["q", "k", "v"]}, {"split": ["q", "k", "v"], "axis": 1}])
def test_an_array_is_split_and_its_parts_may_be_of_other_lengths(rule):
    whole = drawn(2, 9, 5)
    ours, theirs = Held({"q": whole[:, :4], "k": whole[:, 4:6], "v": whole[:, 6:]}), {"qkv": whole + 1}
    if "axis" not in rule:
        ours, theirs = Held(dict(zip("qkv", np.split(whole, 3, 1), strict=True))), {"qkv": whole + 1}
    pairs, _ = found({"qkv": rule}, theirs, ours)
    for name in "qkv":
        shape = ours.shapes[name]
        assert np.array_equal(brought(pairs[name], Held(theirs), shape), ours.array(name) + 1)


def test_axes_are_permuted_and_the_array_reshaped():
    array = drawn(2, 3, 4, 5)
    ours = Held({"x": array.transpose(3, 2, 1, 0).reshape(20, 6)})
    pairs, _ = found({"y": {"is": "x", "permute": [3, 2, 1, 0], "reshape": [20, 6]}}, {"y": array}, ours)
    assert np.array_equal(brought(pairs["x"], Held({"y": array}), (20, 6)), ours.array("x"))
    assert pairs["x"].form == "axes [3, 2, 1, 0], reshaped to [20, 6]"


def test_null_leaves_out_on_either_side():
    _, ways = found({"head": None, "debug.*": None}, {"debug1": drawn(3, 3), "layers.0.norm": drawn(2, 8, 6)})
    assert ways["head"] == ((), "left out") and ways[("debug1",)] == (("debug1",), "left out")


def test_old_files_go_on_working(tmp_path):
    (tmp_path / "map.json").write_text('{"bn": "layers.0.norm"}')
    rules = read_rules(tmp_path / "map.json")
    check_rules(rules, list(OURS.names), ["bn"])
    assert rules.apply(OURS.names, ["bn"])[0].ours == ("layers.0.norm",)
    assert not read_rules(tmp_path / "none.json").content


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (["a"], "not an object of rules"),
        ({"a(": "b"}, "'a(' is no regular expression"),
        ({"a": r"\1"}, "'a' has 0 groups"),
        ({"a": 3}, "3 is neither a name"),
        ({"a": [1, 2]}, "[1, 2] are not names"),
        ({"a": {"name": "b"}}, "'name' is none of axis, is, join"),
        ({"a": {"is": "b", "split": ["c"]}}, "only one of is, join and split"),
        ({"a": {"is": "b", "permute": [0, 2]}}, "permute [0, 2] does not name each axis once"),
        ({"a": {"split": ["b"], "axis": "x"}}, "axis 'x' is no whole number"),
    ],
)
def test_what_is_no_rule_is_refused(tmp_path, content, words):
    (tmp_path / "map.json").write_text(json.dumps(content))
    with pytest.raises(UserError) as error:
        read_rules(tmp_path / "map.json")
    assert str(error.value).startswith(f"{tmp_path / 'map.json'}: ") and words in str(error.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"nowhere": "head"}, "'nowhere' fits nothing in the port, which has a, b"),
        ({"a": "nowhere"}, "'a' names 'nowhere', which is not in the reference"),
        ({"head": ["a", "nowhere"]}, "'head' names 'nowhere', which is not in the port"),
        ({"nowhere": ["a", "b"]}, "'nowhere' fits nothing in the reference"),
        ({"nowhere": None}, "'nowhere', which is to be left out, is in neither"),
        ({"a": "head", "b": "head"}, "two arrays are said to be 'head': 'a' and 'b'"),
    ],
)
def test_rules_that_fit_nothing_are_refused(content, words):
    with pytest.raises(UserError) as error:
        check_rules(Rules(content), OURS.names, ["a", "b"])
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"y": {"is": "x", "permute": [1, 0]}}, "permute [1, 0] for 'x' does not have the 3 axes"),
        ({"y": {"is": "x", "reshape": [5, 5]}}, "reshape [5, 5] for 'x' does not hold the values"),
        ({"y": {"is": "x", "reshape": [4, 6]}}, "has the shape (4, 6); the reference's has (24,)"),
        ({"y": {"split": ["x", "z"], "axis": 5}}, "axis 5 is none of 'y'"),
        ({"x": {"join": ["y", "w"], "axis": 0}}, "y and w of (2, 3, 4) and (2, 2) cannot be brought to 'x'"),
    ],
)
def test_rules_that_do_not_fit_the_shapes_are_refused(rule, words):
    ours, theirs = Held({"x": drawn(24), "z": drawn(3)}), Held({"y": drawn(2, 3, 4), "w": drawn(2, 2)})
    with pytest.raises(UserError) as error:
        pair(ours, theirs, Rules(rule))
    assert words in str(error.value)
