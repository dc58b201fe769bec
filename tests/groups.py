"""The groups that a wing's tests are divided into, one a model family and one for what belongs to none.

A process of the tests runs one group, so that what a framework keeps of one family's networks (compiled graphs, memory
pools) does not add up with what it keeps of the others'.
"""

from functools import cache
from typing import Any

from common.config import model_names
from common.models import load_settings

SHARED = "shared"


@cache
def families() -> tuple[str, ...]:
    """The names of all model families, longest first, as the settings of the variants have them."""
    return tuple(sorted({load_settings(name).family for name in model_names()}, key=lambda name: (-len(name), name)))


def groups() -> tuple[str, ...]:
    """The names of all groups."""
    return (SHARED, *sorted(families()))


def group_of(file: str, name: str, parameters: dict[str, Any]) -> str:
    """The group of a test: the family that its file, its name or one of its parameters speaks of.

    file: the path of the test's file; name: the test's name with its parameters' ids; parameters: their values, such as
    a model's name, the folder of a golden case, or an object whose text has such a name.
    """
    text = " ".join([file, name, *map(repr, parameters.values())])
    return next((family for family in families() if family in text), SHARED)
