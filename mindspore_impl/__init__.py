"""The MindSpore wing. Importing the package alone imports no framework: the loader's workers do it."""

import os

from common.frameworks import before_import


def _prepare() -> None:
    # Errors only; MindSpore reads it at its import.
    os.environ.setdefault("GLOG_v", "3")


before_import("mindspore", "MindSpore", "mindspore", _prepare)
