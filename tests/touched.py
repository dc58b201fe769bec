"""Which test files a change has to do with: those from which a changed file is reached.

A Python file reaches what it imports, what its texts name and the data beside it. A text names a module
("benchmarks.parity.worker"), a file ("docs/porting.md") or all that is in a folder ("tests/goldens"); an f-string names
each that fits, so that f"{framework}_impl.learner" is a file of every wing. Nothing is executed to find this out,
so the choice is too large rather than too small, and a change that nothing is known of touches every test.
"""

import ast
import re
import subprocess
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from common.errors import UserError
from tests.groups import GOLDENS, SHARED, family_in, runs_in

ROOT = Path(__file__).parents[1]
PACKAGES = ("common", "torch_impl", "jittor_impl", "mindspore_impl", "weights_convert", "benchmarks", "triseg", "tests")
PYTEST = ("tests/conftest.py", "tests/groups.py")  # every test depends on them
_OURS = re.compile("|".join((*PACKAGES, "_impl")))
_UNKNOWN = ("ls-files", "--others", "--exclude-standard")  # the files that git does not know and does not ignore

# Python file -> each file that it reaches in one step -> whether by an import.
Edges = dict[str, dict[str, bool]]


@dataclass(frozen=True)
class Process:
    """A process of the tests: a framework and, of a wing's tests, a group; without one it runs all of them."""

    framework: str
    group: str | None = None

    def __str__(self) -> str:
        return " ".join(filter(None, (self.framework, self.group)))


def changed_files(base: str) -> set[str]:
    """The files that differ from where this branch left `base`, committed or not, and those that git does not know."""
    fork = _git("merge-base", "HEAD", base)[0]
    return {*_git("diff", "--name-only", "--no-renames", fork), *_git(*_UNKNOWN)}


def choose(changed: Collection[str], processes: Sequence[Process]) -> dict[Process, list[str]]:
    """The test files that each process has to run; processes without any are left out."""
    edges = find_edges()
    tests = [file for file in edges if re.fullmatch(r"tests/(.+/)?test_\w+\.py", file)]
    known = edges.keys() | {other for reached in edges.values() for other in reached}
    strangers = [file for file in changed if file not in known]
    pages = {"tests/test_docs.py" for file in strangers if file.endswith(".md")}
    in_doubt = any(not file.endswith(".md") for file in changed if file in strangers or "/" not in file)
    chosen = {}
    for process in processes:
        touched = _touched({*changed, *pages}, edges, process)
        chosen[process] = [file for file in tests if _may_run(file, process) and (in_doubt or file in touched)]
    return {process: files for process, files in chosen.items() if files}


def find_edges() -> Edges:
    """What every Python file of the project reaches in one step."""
    files = sorted(file for file in {*_git("ls-files"), *_git(*_UNKNOWN)} if (ROOT / file).is_file())
    sources = [file for file in files if file.endswith(".py") and file.split("/")[0] in PACKAGES]
    modules = {_module(file): file for file in sources}
    named, data = defaultdict(set), defaultdict(set)
    for file in files:
        for name in _names(file):
            named[name].add(file)
        if not file.endswith(".py"):
            data[file.rpartition("/")[0]].add(file)
    edges: Edges = {}
    for file in sources:
        tree = ast.parse((ROOT / file).read_text())
        reached = {other for text in _texts(tree, named) for other in named.get(text, ())} | data[
            file.rpartition("/")[0]
        ]
        imported = {modules[name] for name in _imports(tree) if name in modules}
        imported |= set(PYTEST) if file.startswith("tests/") else set()
        if file.startswith("common/"):  # which calls nothing above it, whatever a folder of its own is called
            reached = {other for other in reached if not other.startswith(("benchmarks/", "triseg/", "tests/"))}
        edges[file] = dict.fromkeys(reached, False) | dict.fromkeys(imported, True)
    return edges


def _touched(changed: Collection[str], edges: Edges, process: Process) -> set[str]:
    """All from which a changed file is reached in a process."""
    readers = defaultdict(set)
    for file, reached in edges.items():
        for other, is_import in reached.items():
            if _concerns(file, other, is_import, process):
                readers[other].add(file)
    found, waiting = set(changed), list(changed)
    while waiting:
        new = readers[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def _concerns(file: str, other: str, is_import: bool, process: Process) -> bool:
    """Whether what a file reaches, `other`, plays a part in a process: of the wings its own does and, where a text
    alone names it, of the families that of the group.
    """
    if (
        process.framework == "numpy"
    ):  # a neutral test says itself what it runs; pytest's own files name wings for others
        return is_import or file not in PYTEST
    wing, family = _owners(other)
    if wing not in (None, process.framework):
        return False
    return is_import or family is None or process.group in (None, SHARED, family, family + GOLDENS)


@cache
def _owners(file: str) -> tuple[str | None, str | None]:
    """The framework and the family that a file is of, where it is of one."""
    wing = re.match(r"(\w+)_impl/", file)
    return wing and wing[1], family_in(file)


def _may_run(file: str, process: Process) -> bool:
    """Whether a process can have tests of a file: a group of golden cases has those alone, and no other family's."""
    file, group = file.removeprefix("tests/"), process.group
    if not runs_in(file, process.framework) or group in (None, SHARED):
        return runs_in(file, process.framework)
    is_golden = file.startswith("goldens/")
    return is_golden == group.endswith(GOLDENS) and family_in(file) in (None, group.removesuffix(GOLDENS))


def _module(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _names(file: str) -> Iterator[str]:
    """The texts that name a file: its own and its folders' paths, from the project on or without their beginning.

    A single word names no source but a package, whose modules may all be meant: `python -m` runs one of them.
    """
    parts, is_source = file.split("/"), file.endswith(".py")
    if is_source:
        yield from {_module(file), _module(file).removesuffix(".__main__")}
    for end in range(1, len(parts) + 1):
        for start in range(end):
            if not is_source or end - start > 1 or (end == 1 and parts[0] in PACKAGES):
                yield "/".join(parts[start:end])


def _texts(tree: ast.Module, named: Collection[str]) -> Iterator[str]:
    """The names that a file's texts are, or may be when the gaps of an f-string are filled."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value.strip("/")
        elif isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else None for part in node.values]
            if any(part and _OURS.search(part) for part in parts):
                gaps = re.compile("".join(r"[\w.]*" if part is None else re.escape(part) for part in parts))
                yield from filter(gaps.fullmatch, named)


def _imports(tree: ast.Module) -> Iterator[str]:
    """Every module that a file may import, and the packages that these lie in."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def _git(*words: str) -> list[str]:
    """The lines that a git command prints."""
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"git {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.splitlines()
