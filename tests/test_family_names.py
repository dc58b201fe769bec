"""Nobody but a family itself knows its name; read from the sources alone."""

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.groups import families
from tests.test_mirror import WINGS, public

ROOT = Path(__file__).parents[1]
PACKAGES = ("common", *WINGS, "weights_convert", "benchmarks", "triseg")
OUTSIDE = ROOT / "tests/unnamed_family"
UNNAMED = "pebble"


def files() -> list[Path]:
    """Everything in the project's packages that git would keep."""
    found = (path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file())
    return sorted(path for path in found if "__pycache__" not in path.parts)


def test_no_file_names_the_unnamed_family():
    assert (OUTSIDE / "common/families" / UNNAMED / "family.py").is_file()
    named = [path for path in files() if UNNAMED in path.read_bytes().lower().decode(errors="replace")]
    assert not named and not [path for path in files() if UNNAMED in str(path.relative_to(ROOT))]


@pytest.mark.parametrize("wing", WINGS)
def test_the_unnamed_familys_networks_mirror_each_other(wing):
    torch, other = (ast.parse((OUTSIDE / each / f"{UNNAMED}.py").read_text()) for each in ("torch_impl", wing))
    assert public(other) == public(torch)


# Where a family's name may stand in code, {} being the name: its own files, and those of an original, one a file; the
# demo has a model of its own, and one file measures a model of torchvision beside ours.
ROOMS = (
    "common/families/{}/*",
    "*_impl/{}.py",
    "weights_convert/families/{}*",
    "weights_convert/upstreams/[a-z]*.py",
    "common/commands/originals/[a-z]*.py",
    "benchmarks/demo.py",
    "benchmarks/gpu/beside_torchvision.py",
)


def names_in_code(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of every identifier, and of every string that is no sentence, of a file.

    A string with a blank is meant for people, such as a help text or an example, and so is a docstring.
    """
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        for _, value in ast.iter_fields(node):
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str) and node not in docstrings and " " not in text.strip():
                    yield getattr(node, "lineno", 0), text


def is_named(family: str, text: str) -> bool:
    """Whether a family's name stands in a text: as its folder's is written, or in the words of a class's name."""
    return family in text.lower() or family.title().replace("_", "") in text


def is_at_home(family: str, file: str) -> bool:
    """Whether a file is one of a family's rooms, or of a family's that stands on it."""
    return any(fnmatch(file, room.format(name)) for name in (family, *built_on(family)) for room in ROOMS)


def built_on(family: str) -> list[str]:
    """The families whose settings are this one's with some more: they may name it."""
    folder = ROOT / "common/families"
    settings = {name: (folder / name / "settings.py").read_text() for name in families() if name != family}
    return [name for name, text in settings.items() if f"from common.families.{family}.settings import" in text]


def test_no_family_is_named_outside_its_rooms():
    found = []
    for path in (path for path in files() if path.suffix == ".py"):
        file = path.relative_to(ROOT).as_posix()
        strangers = [name for name in families() if not is_at_home(name, file)]
        for line, text in names_in_code(ast.parse(path.read_text())):
            found += [f"{file}:{line}: {text}" for name in strangers if is_named(name, text)]
    assert not found, "\n".join(sorted(set(found)))


def test_only_a_family_that_stands_on_another_may_name_it():
    assert is_at_home("mask_rcnn", "torch_impl/point_rend.py") and not is_at_home(
        "point_rend", "torch_impl/mask_rcnn.py"
    )
    assert not is_at_home("mask_rcnn", "torch_impl/yolact.py")


def test_a_name_in_code_is_seen_and_one_for_people_is_not():
    """The search itself."""
    code = (
        'import common.families.yolact.masks\n"""yolact"""\nclass MaskRcnnX: pass\nf(a="yolact_tiny", b="see yolact")\n'
    )
    assert [line for line, text in names_in_code(ast.parse(code)) if is_named("yolact", text)] == [1, 4]
    assert [line for line, text in names_in_code(ast.parse(code)) if is_named("mask_rcnn", text)] == [3]
