"""The three wings mirror each other, and nobody imports what is not theirs; read from the sources alone."""

import ast
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WINGS = {
    "torch_impl": {"torch", "torchvision"},
    "jittor_impl": {"jittor", "jittor_utils"},
    "mindspore_impl": {"mindspore"},
}
FRAMEWORKS = set().union(*WINGS.values())
# Each framework's name for a module's computation.
CALL = {"forward": "forward", "execute": "forward", "construct": "forward"}
MODEL = "torch_impl"
# The commands that one framework alone has, as for its own format of data.
OWN_COMMANDS = {"mindspore_impl": ["mindrecord.py"]}


def sources(package: str) -> dict[str, ast.Module]:
    """Path within the package -> syntax tree."""
    folder = ROOT / package
    return {str(path.relative_to(folder)): ast.parse(path.read_text()) for path in sorted(folder.rglob("*.py"))}


def public_files(wing: str) -> list[str]:
    """What the wings share; a file with a leading underscore is a wing's own, and so are its own commands."""
    shared = [file for file in sources(wing) if file == "__init__.py" or not file.startswith("_")]
    return [file for file in shared if file not in OWN_COMMANDS.get(wing, ())]


def imports(tree: ast.Module) -> set[str]:
    """The top-level packages that a file imports, at its top or within functions."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module.split(".")[0])
    return found


def parameters(function: ast.FunctionDef) -> list[str]:
    """The names as they are written in a call, with * and ** where they gather several."""
    given = function.args
    names = [argument.arg for argument in given.posonlyargs + given.args]
    names += [f"*{given.vararg.arg}"] if given.vararg else []
    names += [f"{argument.arg}=" for argument in given.kwonlyargs]
    return names + ([f"**{given.kwarg.arg}"] if given.kwarg else [])


def public(tree: ast.Module) -> list[str]:
    """A file's public functions and classes in their order, with the classes' public methods, and their parameters."""
    lines = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            lines.append(f"{node.name}({', '.join(parameters(node))})")
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            lines.append(f"class {node.name}")
            lines += sorted(f"{node.name}.{method}" for method in methods(node))
    return lines


def methods(node: ast.ClassDef) -> list[str]:
    """A class's public methods with their parameters."""
    found = {}
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and (member.name == "__init__" or not member.name.startswith("_")):
            found[CALL.get(member.name, member.name)] = parameters(member)
    # What derives from one of the framework's own layers inherits its call.
    layers = [base for base in node.bases if isinstance(base, ast.Attribute) and base.attr not in ("Module", "Cell")]
    if layers:
        found.setdefault("forward", ["self", "x"])
    return [f"{name}({', '.join(names)})" for name, names in found.items()]


def test_the_wings_have_the_same_files():
    assert public_files("jittor_impl") == public_files(MODEL)
    assert public_files("mindspore_impl") == public_files(MODEL)


@pytest.mark.parametrize("wing", [wing for wing in WINGS if wing != MODEL])
@pytest.mark.parametrize("file", public_files(MODEL))
def test_the_wings_have_the_same_public_names(file, wing):
    assert public(sources(wing)[file]) == public(sources(MODEL)[file])


@pytest.mark.parametrize("wing", WINGS)
def test_a_wing_imports_its_own_framework_alone(wing):
    others = FRAMEWORKS - WINGS[wing] | set(WINGS) - {wing} | {"benchmarks", "tests"}
    strays = {file: imports(tree) & others for file, tree in sources(wing).items()}
    assert not {file: found for file, found in strays.items() if found}


@pytest.mark.parametrize("package", ["common", "weights_convert", "benchmarks"])
def test_neutral_packages_import_no_framework_and_no_wing(package):
    strays = {file: imports(tree) & (FRAMEWORKS | set(WINGS)) for file, tree in sources(package).items()}
    # The parts of the GPU's check measure frameworks themselves; each is held to one of them below. The speed of a
    # network alone is measured by each framework's own calls, which are imported in its process.
    themselves = ("gpu/", "speed/forward.py")
    assert not {file: found for file, found in strays.items() if found and not file.startswith(themselves)}


def test_a_part_of_the_gpu_check_imports_one_framework():
    ours = [WINGS[wing] | {wing} for wing in WINGS]
    for file, tree in sources("benchmarks/gpu").items():
        found = imports(tree) & (FRAMEWORKS | set(WINGS))
        assert any(found <= one for one in ours), (file, found)


ABOVE_COMMON = {"benchmarks", "tests", "triseg", "weights_convert", *WINGS}


def above_common(tree: ast.Module) -> set[str]:
    """The packages above `common` that a file imports: by a statement, at its top or within functions, or by a name."""
    names = [name.partition(".")[0] for name in imported_names(tree)]
    return {package for package in ABOVE_COMMON if any(fnmatch(package, name) for name in names)} | (
        imports(tree) & ABOVE_COMMON
    )


def imported_names(tree: ast.Module) -> list[str]:
    """The literal names that are imported by `import_module` and `__import__`; `*` is what is put into an f-string."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("import_module", "__import__"):
            argument = node.args[0]
            parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
            if isinstance(argument, ast.Constant | ast.JoinedStr):
                found.append("".join(part.value if isinstance(part, ast.Constant) else "*" for part in parts))
    return found


def test_common_imports_nothing_above_it():
    strays = {file: above_common(tree) for file, tree in sources("common").items()}
    assert not {file: found for file, found in strays.items() if found}


@pytest.mark.parametrize(
    ("code", "package"),
    [
        ("import torch_impl.ops", "torch_impl"),
        ("def f():\n from weights_convert import model_of", "weights_convert"),
        ("importlib.import_module('benchmarks.parity')", "benchmarks"),
        ("import_module(f'{framework}_impl.learner')", "jittor_impl"),
        ("import_module(f'{package}.learner')", "mindspore_impl"),
    ],
)
def test_an_import_of_what_is_above_common_is_seen(code, package):
    assert package in above_common(ast.parse(code))
    assert not above_common(ast.parse("import_module(f'common.families.{name}.family')\nfrom common import models"))


def test_a_difference_between_wings_is_seen():
    """The comparison itself: names, order, parameters, and the three spellings of a module's call."""
    torch = "class A:\n def __init__(self, size): pass\n def forward(self, x): pass\ndef f(x, *, y=1): pass\n"
    jittor = torch.replace("forward", "execute")
    assert public(ast.parse(torch)) == public(ast.parse(jittor))
    for change in (("def f", "def g"), ("size", "width"), ("class A", "class B"), ("y=1", "z=1"), ("*, ", "")):
        assert public(ast.parse(torch)) != public(ast.parse(torch.replace(*change)))
