"""The configuration files of an original that stand for a model, settings and options of ours."""

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


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
