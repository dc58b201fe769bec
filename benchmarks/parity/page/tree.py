"""The tree of modules, with what gate 1 found of each in both modes."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.parity.finding import Finding, Mode, Run
from benchmarks.parity.layers import AS_USED
from benchmarks.parity.wording import describe_departure, number

GATE = 1
INPUT = "input of "

# "follows": it departs because something before it does.
State = Literal["departs", "follows", "cannot tell", "passed", "not compared"]
_STATES: tuple[State, ...] = ("departs", "follows", "cannot tell", "passed", "not compared")  # the gravest first


@dataclass
class Line:
    """One array of a module; findings: those of it by mode. is_first: whether the framework departs there first."""

    label: str
    findings: dict[Mode, Finding] = field(default_factory=dict)
    is_first: bool = False

    def state(self, mode: Mode) -> State:
        return state_of(self.findings[mode]) if mode in self.findings else "not compared"

    def figures(self, mode: Mode) -> str:
        """The largest difference and the one that is allowed; empty where nothing could be compared."""
        finding = self.findings.get(mode)
        if finding is None or finding.difference is None or finding.tolerance is None:
            return ""
        return f"{number(finding.difference.largest)} of {number(finding.tolerance.largest)}"

    @property
    def departure(self) -> str:
        """How it departs by a fault of its own; empty where there is none."""
        found = self.findings.values()
        return next((describe_departure(each) for each in found if state_of(each) == "departs"), "")


@dataclass
class Node:
    """A module, or a list of modules: its own arrays and the modules within it, in the order of the computation."""

    name: str
    kind: str = ""
    lines: list[Line] = field(default_factory=list)
    children: list["Node"] = field(default_factory=list)

    def state(self, mode: Mode) -> State:
        """The gravest state of the module's own arrays; of those within it where it has none of its own."""
        found = [each.state(mode) for each in self.lines or self.children]
        return min(found, key=_STATES.index, default="not compared")

    @property
    def is_open(self) -> bool:
        """Whether the first departure is here or within."""
        return any(line.is_first for line in self.lines) or any(child.is_open for child in self.children)


def state_of(finding: Finding) -> State:
    if finding.failed:
        return "follows" if finding.role == "consequence" else "departs"
    return "passed" if finding.passed else "cannot tell"


def grow_tree(run: Run) -> list[Node]:
    """The outermost modules and stages of a framework's network, with all that lies within them."""
    first, root = run.first(), Node("")
    nodes, lines = {"": root}, {}
    by_mode: dict[Mode, dict[str, Finding]] = {"accumulated": {}, "injected": {}}
    for finding in run.findings_of(GATE):
        # The weights as they arrived are compared before the network runs, and stand here where one of them is wrong.
        if finding.kind != "weight" or finding.failed:
            by_mode[finding.mode][finding.name] = finding
    for name in merge_orders(by_mode.values()):
        found = {mode: findings[name] for mode, findings in by_mode.items() if name in findings}
        path, label = split_name(name)
        node = _node_at(path, nodes)
        line = lines[name] = Line(label, found, is_first=first in found.values())
        node.lines.append(line)
        kinds = [finding.kind for finding in found.values() if finding.kind != "input"]
        node.kind = kinds[0] if kinds else node.kind
    return [_without_chains(child) for child in root.children]


def split_name(name: str) -> tuple[str, str]:
    """The module's path and the array's place of a finding's name: ("head.conv", "output, call 2, item 0").

    The name of a module's second call ends with `@1`; an array in a list, tuple or dictionary is `NAME/KEY`. What the
    network puts out as its users run it is put together, as if it were of one module.
    """
    if name.startswith(AS_USED):
        return AS_USED.strip(": "), name.removeprefix(AS_USED)
    is_input = name.startswith(INPUT)
    call, _, item = name.removeprefix(INPUT).partition("/")
    path, _, again = call.rpartition("@")
    if not (path and again.isdecimal()):  # a name that a port of somebody's own gave
        path, again = call, ""
    words = ["input" if is_input else "output"]
    words += [f"call {int(again) + 1}"] if again else []
    words += [f"item {item}"] if item else []
    return path, ", ".join(words)


def merge_orders(orders: Iterable[Iterable[str]]) -> list[str]:
    """All names once, in an order that keeps each of the given ones; one that is new follows the name before it."""
    merged: list[str] = []
    for order in orders:
        known, place = set(merged), 0
        for name in order:
            if name in known:
                place = merged.index(name) + 1
            else:
                merged.insert(place, name)
                known.add(name)
                place += 1
    return merged


def _node_at(path: str, nodes: dict[str, Node]) -> Node:
    """The module at a path, which is made with all around it where it is not there yet."""
    if path not in nodes:
        above, _, name = path.rpartition(".")
        nodes[path] = Node(name)
        _node_at(above, nodes).children.append(nodes[path])
    return nodes[path]


def _without_chains(node: Node) -> Node:
    """The same modules, where one without arrays of its own and the only module within it are one: `layers.0`."""
    while not node.lines and len(node.children) == 1:
        (child,) = node.children
        node = Node(f"{node.name}.{child.name}", child.kind, child.lines, child.children)
    return Node(node.name, node.kind, node.lines, [_without_chains(child) for child in node.children])
