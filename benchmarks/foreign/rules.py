"""`map.json`: what the user says about the names of two dumps."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Rules:
    """The rules of a `map.json`, in the file's order.

    path: the file, for messages. rules: its content, {key: value}.
    """

    path: Path | None = None
    rules: Mapping[str, Any] | None = None


NO_RULES = Rules()


def read_rules(path: Path) -> Rules:
    """The rules of a file; none where there is no such file."""
    raise NotImplementedError


def check_rules(rules: Rules, ours: list[str], theirs: list[str]) -> None:
    """Refuses rules that fit no name at all.

    ours, theirs: the names of everything that the two dumps have, in all gates together.
    """
    raise NotImplementedError
