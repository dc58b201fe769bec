"""The configuration files of an original that stand for a model, settings and options of ours.

Several originals keep them in the manner of yacs: YAML with keys in capitals, which KEY VALUE pairs change.
"""

import ast
import difflib
import re
from argparse import Namespace
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

from common.errors import UserError


class Config(Protocol):
    """A configuration file, changed by KEY VALUE pairs."""

    @property
    def model(self) -> str:
        """The variant that comes nearest."""

    def overrides(self) -> list[str]:
        """In what the configuration departs from that variant, as key.path=value."""

    def options(self, command: str) -> dict[str, str]:
        """The options of a command that the configuration gives, by their names in argparse."""

    def complete(self, arguments: Namespace, command: str) -> None:
        """Sets the data and the weights where a command takes them and the command line says nothing."""

    def weights(self, command: str) -> Path | None:
        """The weights that the configuration names for a command."""


@dataclass(frozen=True)
class ConfigFiles:
    """The configuration files of an original.

    original: whose they are, such as `maskrcnn-benchmark`.
    help: what the option `--config-file` says of them.
    recognise: whether a YAML file is one of them.
    read: a file and KEY VALUE pairs that change it -> the configuration.
    split_pairs: a command's words -> the words without the KEY VALUE pairs among them, and these.
    path_of: a key -> the setting that it stands for, as key.path, or None.
    result_files: what the original calls its results files, by the names in `ResultKind.rated`.
    """

    original: str
    help: str
    recognise: Callable[[Path], bool]
    read: Callable[[Path, Sequence[tuple[str, str]]], Config]
    split_pairs: Callable[[Sequence[str]], tuple[list[str], list[tuple[str, str]]]]
    path_of: Callable[[str], str | None]
    result_files: Mapping[str, str]


_PAIR_KEY = re.compile(
    r"(MODEL|INPUT|DATASETS|DATALOADER|SOLVER|TEST)(\.\w+)+"
    r"|OUTPUT_DIR|PATHS_CATALOG|DTYPE|AMP_VERBOSE|SEED|VERSION|CUDNN_BENCHMARK|VIS_PERIOD"
)
_TYPES = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}


def read_content(path: Path) -> dict[str, Any]:
    """The sections of a YAML file."""
    try:
        content = yaml.safe_load(path.read_text())
    except OSError:
        raise UserError(f"config file not found: {path}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise UserError(f"{path}: the file holds no settings")
    return content


def split_pairs(words: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """A command's words without the KEY VALUE pairs among them, and these."""
    rest, pairs, following = [], [], iter(words)
    for word in following:
        if not _PAIR_KEY.fullmatch(word):
            rest.append(word)
            continue
        value = next(following, None)
        if value is None:
            raise UserError(f"command line: {word}: its value is missing")
        pairs.append((word, value))
    return rest, pairs


def flatten(content: Mapping[str, Any], known: Collection[str], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested sections -> dotted keys and their values; which keys are sections, the known ones tell."""
    found = []
    for name, value in content.items():
        key = f"{prefix}{name}"
        is_section = any(each.startswith(f"{key}.") for each in known)
        if isinstance(value, dict) and key not in known:
            found += flatten(value, known, f"{key}.")
        elif value is not None or not is_section:
            found.append((key, value))
    return found


def nearest_key(key: str, known: Collection[str]) -> str:
    """The known key that is spelt most like this one."""
    return difflib.get_close_matches(key, known, 1, 0.0)[0]


def as_typed(key: str, value: Any, default: Any, origin: str) -> Any:
    """A value as YAML or the command line gives it, read as the original does, in the type of the key's default."""
    if isinstance(value, str):
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):  # then it is a text
            value = ast.literal_eval(value)
    if not isinstance(default, tuple):
        if not _is(value, type(default)):
            raise UserError(f"{origin}: {key}: {value!r} is not {_TYPES[type(default)]}")
        return value
    kind = type(default[0]) if default else str
    if not isinstance(value, list | tuple) or not all(_is(each, kind) for each in value):
        example = f", such as {default}" if default else ""
        raise UserError(f"{origin}: {key}: {value!r} is not a tuple, each element {_TYPES[kind]}{example}")
    return tuple(value)


def _is(value: Any, kind: type) -> bool:
    if isinstance(value, bool) or kind is bool:
        return kind is bool and isinstance(value, bool)
    return isinstance(value, int | float if kind is float else kind)
