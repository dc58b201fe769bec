"""Nobody but a family itself knows its name; read from the sources alone."""

import ast
from pathlib import Path

import pytest

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
