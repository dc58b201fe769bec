"""The MindSpore wing. Importing the package alone imports no framework: the loader's workers do it."""

import os
from pkgutil import extend_path

from common.frameworks import before_import

# A family from outside of this project has its network in a folder of this name elsewhere on Python's path.
__path__ = extend_path(__path__, __name__)


def _prepare() -> None:
    # Errors only; MindSpore reads it at its import.
    os.environ.setdefault("GLOG_v", "3")
    # With AVX-512 its oneDNN takes a reference convolution, thirty times slower than the product of matrices that
    # it takes with AVX2.
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")


before_import("mindspore", "MindSpore", "mindspore", _prepare)
