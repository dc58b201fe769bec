"""The array contract is what each framework's operations have, no less and no more, and what the project calls."""

import ast
import inspect
from pathlib import Path

import pytest

from common import numpy_ops
from tests.contract.comparing import contract_functions

ROOT = Path(__file__).parents[2]
# What the wings' operations have beside the contract's, for tests and benchmarks alone.
BEYOND = ["value_and_grad"]


def parameters(function) -> list[inspect.Parameter]:
    """A function's parameters: their names in order, how they may be given, and their defaults."""
    return [each.replace(annotation=each.empty) for each in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize("name", contract_functions())
def test_a_function_has_the_contracts_signature(name, xp):
    assert parameters(getattr(xp, name)) == parameters(contract_functions()[name])[1:]


def test_the_functions_are_the_contracts_in_its_order(xp):
    functions = [name for name, each in vars(xp).items() if inspect.isfunction(each) and each.__module__ == xp.__name__]
    public = [name for name in functions if not name.startswith("_")]
    assert public == [*contract_functions(), *(BEYOND if xp is not numpy_ops else [])]


def test_every_function_says_what_it_gives():
    assert [name for name, function in contract_functions().items() if not function.__doc__] == []


def called(packages: list[str], modules: set[str]) -> set[str]:
    """The names that are called as `MODULE.NAME(...)` or `namespace(...).NAME(...)` in the packages' sources."""
    found = set()
    for path in (path for package in packages for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value
                owner = owner.func if isinstance(owner, ast.Call) else owner
                if isinstance(owner, ast.Name) and owner.id in modules:
                    found.add(node.func.attr)
    return found


def test_every_function_has_a_caller():
    callers = called(["common"], {"xp", "namespace"}) | called(["torch_impl", "jittor_impl", "mindspore_impl"], {"ops"})
    assert set(contract_functions()) - callers == set()
