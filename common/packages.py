"""Packages that only some of the commands need, and what is said where one is missing."""

import importlib
from types import ModuleType

from common.errors import UserError


class MissingPackage(UserError, ModuleNotFoundError):
    """A package that a command needs is not installed."""


def needed(module: str, package: str, purpose: str) -> ModuleType:
    """The module; where its package is missing, an error that names the package, what for, and how to install it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:  # something that the package itself needs
            raise
        raise MissingPackage(f"{purpose} needs {package}, which is not installed: pip install {package}") from None
