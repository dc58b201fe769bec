"""How the tests call compiled kernels without a framework, and build them as Jittor does."""

import ctypes
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common import kernels


def call(library: ctypes.CDLL, name: str, inputs: Sequence, shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
    """Calls a kernel as MindSpore does: contiguous inputs -> float32 outputs of these shapes."""
    arrays = [np.ascontiguousarray(each) for each in inputs]
    outputs = [np.full(shape, np.nan, np.float32) for shape in shapes]
    arrays += outputs
    addresses = (ctypes.c_void_p * len(arrays))(*[each.ctypes.data for each in arrays])
    dimensions = (ctypes.c_int * len(arrays))(*[each.ndim for each in arrays])
    sizes = [ctypes.cast(kernels.int64s(*each.shape), ctypes.POINTER(ctypes.c_int64)) for each in arrays]
    sizes = (ctypes.POINTER(ctypes.c_int64) * len(arrays))(*sizes)
    assert getattr(library, f"triseg_{name}_aot")(len(arrays), addresses, dimensions, sizes, None, None, None) == 0
    return outputs


def as_jittor_compiles(folder: Path) -> ctypes.CDLL:
    """All kernels built in this folder as C++14 with -Ofast; a warning is an error."""
    compiled, library = folder / "fast.o", folder / "fast.so"
    flags = ["-std=c++14", "-Ofast", "-march=native", "-fopenmp", "-fPIC", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["g++", *flags, "-c", str(kernels.SOURCES / "kernels.cpp"), "-o", str(compiled)], check=True)
    # Linked without -Ofast, which would turn small numbers into zeros in this whole process.
    subprocess.run(["g++", "-shared", "-fopenmp", str(compiled), "-o", str(library)], check=True)
    fast = ctypes.CDLL(str(library))
    for name, arguments in kernels._ARGUMENTS.items():
        getattr(fast, name).argtypes = arguments
    return fast
