"""Imports packages that only some commands need, with a helpful error if one is missing."""

import importlib
from types import ModuleType

from common.errors import UserError


class MissingPackage(UserError, ModuleNotFoundError):
    """A package that a command needs is not installed."""


def import_package(module: str, package: str, purpose: str) -> ModuleType:
    """Imports a module; if its package is missing, the error says what needs it and how to install it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:  # the package is there, but something that it needs is missing
            raise
        raise MissingPackage(f"{purpose} needs {package}, which is not installed: pip install {package}") from None
