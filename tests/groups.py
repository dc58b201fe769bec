"""How the tests are shared out among processes: by framework and, of a wing's tests, by group.

A model family has two groups: its golden cases, some of which run networks of full size, and its other tests. What
belongs to no family is a group of its own. A process runs one group, so that what a framework keeps of some networks
(compiled graphs, memory pools) does not add up with what it keeps of others.
"""

from functools import cache
from pathlib import Path
from typing import Any

FRAMEWORKS = ("numpy", "torch", "jittor", "mindspore")
SHARED = "shared"
GOLDENS = "_goldens"
# Whose folders are the families; read without an import, so that no test depends on families by what stands here.
_FAMILIES = Path(__file__).parents[1] / "common/families"
# The folders of tests that run in each wing alone, and in each wing as well as in NumPy.
_WINGS_ONLY = {"wings"}
_WINGS_TOO = {"contract", "goldens"}


@cache
def families() -> tuple[str, ...]:
    """The names of all model families, longest first: one may be the beginning of another."""
    names = [record.parent.name for record in _FAMILIES.glob("*/family.py")]
    return tuple(sorted(names, key=lambda name: (-len(name), name)))


def groups() -> tuple[str, ...]:
    """The names of all groups."""
    return (SHARED, *(name + ending for name in sorted(families()) for ending in ("", GOLDENS)))


def family_in(text: str) -> str | None:
    """The family that a text, such as a path, speaks of."""
    return next((family for family in families() if family in text), None)


def group_of(file: str, name: str, parameters: dict[str, Any]) -> str:
    """The group of a test: that of the family which its file, its name or one of its parameters speaks of.

    file: the path of the test's file below `tests`; name: the test's name with its parameters' ids; parameters: their
    values, such as a model's name, the folder of a golden case, or an object whose text has such a name.
    """
    family = family_in(" ".join([file, name, *map(repr, parameters.values())]))
    if family is None:
        return SHARED
    return family + (GOLDENS if file.startswith("goldens/") else "")


def runs_in(file: str, framework: str) -> bool:
    """Whether a process of this framework runs a test file, or looks into a folder, of this path below `tests`.

    Of the wings' tests, those in a file `test_NAME_*` run in the framework NAME alone.
    """
    room, name = file.partition("/")[0], Path(file).name
    if room in _WINGS_ONLY | _WINGS_TOO and any(
        name.startswith(f"test_{other}_") for other in {*FRAMEWORKS} - {framework}
    ):
        return False
    return room not in _WINGS_ONLY if framework == "numpy" else room in _WINGS_ONLY | _WINGS_TOO
