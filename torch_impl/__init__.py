"""The PyTorch wing. Importing the package alone imports no framework: the loader's workers do it."""

from common.frameworks import before_import


def _prepare() -> None:
    """PyTorch needs nothing before its import."""


before_import("torch", "PyTorch", "torch", _prepare)
