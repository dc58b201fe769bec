"""Imports packages that only some commands need, with a helpful error if one is missing."""

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

from common.errors import UserError


class MissingPackage(UserError, ModuleNotFoundError):
    """A package that a command needs is not installed."""


def import_package(module: str, package: str, purpose: str, without: Sequence[str] = ()) -> ModuleType:
    """Imports a module; if its package is missing, the error says what needs it and how to install it.

    without: modules that the package imports where they are installed, though what is used of it does not need them.
    """
    try:
        with _hidden(without):
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:  # the package is there, but something that it needs is missing
            raise
        raise MissingPackage(f"{purpose} needs {package}, which is not installed: pip install {package}") from None


@contextmanager
def _hidden(modules: Sequence[str]) -> Iterator[None]:
    """Makes modules that have not been imported look as if they were not installed."""
    names = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(names))
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
