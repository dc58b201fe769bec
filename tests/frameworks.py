"""A framework's wing by the framework's name, for tests that run once in each."""

import importlib

from common.wing import Wing


def wing_of(framework: str) -> Wing:
    """The wing as the commands are handed it; nothing is imported of the framework yet."""
    return importlib.import_module(f"{framework}_impl.wing").WING
