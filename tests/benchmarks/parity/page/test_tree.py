"""The tree of modules has each array in its module, in both modes, and is open at the first departure alone."""

import pytest

from benchmarks.parity.finding import Run
from benchmarks.parity.page.tree import Node, grow_tree, merge_orders, split_name
from tests.benchmarks.parity.made_up import FAR, FIRST, faulty_findings, finding, made_up_runs


def at(nodes: list[Node], *names: str) -> Node:
    """The node that is reached by these names."""
    (node,) = [each for each in nodes if each.name == names[0]]
    return at(node.children, *names[1:]) if names[1:] else node


@pytest.fixture
def tree() -> list[Node]:
    return grow_tree(Run("jittor", "torch", faulty_findings()))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("backbone.conv1", ("backbone.conv1", "output")),
        ("input of head", ("head", "input")),
        ("head.trunk@2", ("head.trunk", "output, call 3")),
        ("fpn/0", ("fpn", "output, item 0")),
        ("input of fpn@1/boxes/3", ("fpn", "input, call 2, item boxes/3")),
        ("as used: loc", ("as used", "loc")),
        ("somebody@home", ("somebody@home", "output")),
    ],
)
def test_a_name_is_a_module_and_an_array_of_it(name, expected):
    assert split_name(name) == expected


def test_modules_nest_in_the_order_of_the_computation(tree):
    assert [node.name for node in tree] == ["preprocessing", "backbone", "head.conv", "fpn", "priors"]
    assert [node.name for node in at(tree, "backbone").children] == ["conv1", "layers.0"]
    block = at(tree, "backbone", "layers.0", "1")
    assert block.kind == "Bottleneck" and [child.name for child in block.children] == ["conv2"]
    assert [line.label for line in at(tree, "head.conv").lines] == ["output", "output, call 2"]
    assert [line.label for line in at(tree, "backbone", "conv1").lines] == ["input", "output"]


def test_each_mode_has_its_verdict(tree):
    block = at(tree, "backbone", "layers.0", "1")
    assert (block.state("accumulated"), block.state("injected")) == ("follows", "passed")
    conv = at(tree, "backbone", "layers.0", "1", "conv2")
    assert (conv.state("accumulated"), conv.state("injected")) == ("departs", "departs")
    assert conv.lines[0].state("injected") == "not compared"
    assert conv.lines[1].figures("injected") == "2.50e-01 of 2.10e-06"
    assert conv.lines[1].departure == "scale by channel: times 0.5 to 2"
    assert at(tree, "head.conv").lines[0].departure == ""  # it only follows
    assert at(tree, "backbone").state("accumulated") == "follows"  # of the gravest within
    assert at(tree, "priors").state("accumulated") == "passed"


def test_it_is_open_along_the_path_to_the_first_departure(tree):
    def opened(nodes: list[Node]) -> list[str]:
        return [name for node in nodes if node.is_open for name in (node.name, *opened(node.children))]

    assert opened(tree) == ["backbone", "layers.0", "1", "conv2"]
    lines = at(tree, "backbone", "layers.0", "1", "conv2").lines
    assert [line.is_first for line in lines] == [False, True]
    assert FIRST.endswith("layers.0.1.conv2")


def test_it_is_closed_where_all_is_well_or_the_fault_is_no_layers():
    _, good, *_ = made_up_runs()
    assert not any(node.is_open for node in grow_tree(good))
    late = [finding("conv"), finding("loss.S", "loss", FAR, gate=2, role="cause")]
    assert [node.is_open for node in grow_tree(Run("jittor", "torch", late))] == [False]


def test_weights_stand_there_where_one_is_wrong():
    def names(found: str | None) -> list[str]:
        weight = finding("conv.weight", "weight", **({"found": FAR} if found else {}))
        return [node.name for node in grow_tree(Run("jittor", "torch", [weight, finding("fc")]))]

    assert names(None) == ["fc"] and names("far") == ["conv.weight", "fc"]


def test_what_cannot_be_told_is_not_passed():
    found = finding("conv", found=FAR, verdict="cannot tell")
    (node,) = grow_tree(Run("jittor", "torch", [found, finding("conv", mode="injected")]))
    assert (node.state("accumulated"), node.state("injected")) == ("cannot tell", "passed")


def test_orders_merge():
    assert merge_orders([["a", "c", "d"], ["a", "b", "c", "e"], ["z", "d"]]) == ["z", "a", "b", "c", "e", "d"]
