"""The PyTorch wing. Importing the package alone imports no framework: the loader's workers do it."""

from pkgutil import extend_path

from common.frameworks import before_import

# A family from outside of this project has its network in a folder of this name elsewhere on Python's path.
__path__ = extend_path(__path__, __name__)


def _prepare() -> None:
    """PyTorch needs nothing before its import."""


before_import("torch", "PyTorch", "torch", _prepare)
