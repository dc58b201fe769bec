"""Preparing a framework's first import, and naming the command that installs it where it is missing."""

import importlib.util
import os
import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder

from common.errors import UserError


class MissingFramework(UserError, ModuleNotFoundError):
    """A wing was asked for and its framework is not installed."""


def before_import(module: str, name: str, extra: str, prepare: Callable[[], None]) -> None:
    """Has `prepare` called when `module` is first imported; where it is missing, names the command that installs it.

    A wing's package is imported in every worker process of the loader, which needs no framework: so nothing of this
    may happen when the package itself is imported.
    """
    if module not in sys.modules:
        sys.meta_path.insert(0, _BeforeImport(module, name, extra, prepare))


class _BeforeImport(MetaPathFinder):
    """A finder that finds no module: the import system asks it before those that do, and it prepares the framework."""

    def __init__(self, module: str, name: str, extra: str, prepare: Callable[[], None]):
        self.module, self.name, self.extra, self.prepare = module, name, extra, prepare

    def find_spec(self, fullname, path=None, target=None):
        if fullname != self.module:
            return None
        sys.meta_path.remove(self)
        try:
            if importlib.util.find_spec(self.module) is None:
                raise MissingFramework(f'{self.name} is not installed: pip install ".[{self.extra}]"', name=self.module)
            # OpenMP's threads spin at every barrier; with the loader's workers on the same cores a step took nine
            # times as long (2 cores, 1 worker). OpenMP reads this when the framework loads it.
            os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
            self.prepare()
        except UserError:
            sys.meta_path.insert(0, self)
            raise
        return None
