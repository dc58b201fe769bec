"""Operators of vision, norms and the parts of transformers in plain C++ for the CPU, compiled on first use.

PyTorch reaches the compiled library through `library()`, MindSpore's custom operators through `library_path()`, and
Jittor compiles `header(name)` into its own operators. Without a compiler the first two are None and `problem()` says
in one line why; each wing then falls back to operations of its framework.
"""

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.files import atomic_path

SOURCES = Path(__file__).parent
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-fPIC", "-shared")

_POINTER, _INT, _INT64, _FLOAT = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_float
_ROI_ALIGN = [_POINTER, _POINTER, _POINTER, _FLOAT, _INT, _INT, _POINTER]
_ARGUMENTS = {
    "triseg_roi_align": _ROI_ALIGN,
    "triseg_roi_align_grad": _ROI_ALIGN,
    "triseg_nms": [_POINTER, _POINTER, _INT64, _FLOAT, _FLOAT, _POINTER],
    "triseg_deform_columns": [_POINTER] * 5,
    "triseg_deform_columns_grad_input": [_POINTER] * 5,
    "triseg_deform_columns_grad_offset": [_POINTER] * 7,
    "triseg_grid_sample": [_POINTER] * 4,
    "triseg_grid_sample_grad_input": [_POINTER] * 4,
    "triseg_grid_sample_grad_grid": [_POINTER] * 5,
    "triseg_ms_deform_attn": [_POINTER] * 6,
    "triseg_ms_deform_attn_grad": [_POINTER] * 9,
}


def header(name: str) -> str:
    """The C++ text of the kernel of this name; its functions are in the namespace `triseg`."""
    return (SOURCES / f"{name}.h").read_text()


def library() -> ctypes.CDLL | None:
    """The compiled kernels with their argument types declared, or None where they cannot be had."""
    return _load()[0]


def library_path() -> Path | None:
    """The compiled kernels' file, or None where they cannot be had."""
    path = _build()
    return path if isinstance(path, Path) else None


def problem() -> str | None:
    """Why there are no compiled kernels, in one line; None when they work."""
    return _load()[1]


def int64s(*values: int) -> ctypes.Array:
    """Gives whole numbers, such as a shape, in the form in which the kernels take them."""
    return (ctypes.c_int64 * len(values))(*values)


def sides_of_levels(shapes: Sequence[tuple[int, int]], cells: int) -> np.ndarray:
    """(levels, 2) int32, the maps' heights and widths, for ms_deform_attn's kernel, which reads where they say.

    So it is an error when they have not `cells` cells together.
    """
    sides = np.array(shapes, np.int32).reshape(-1, 2)
    if sides.prod(1).sum() != cells:
        raise ValueError(f"maps of {sides.tolist()} cells in a row of {cells}")
    return sides


@functools.cache
def _load() -> tuple[ctypes.CDLL | None, str | None]:
    built = _build()
    if isinstance(built, str):
        return None, built
    try:
        loaded = ctypes.CDLL(str(built))
    except OSError as error:
        return None, f"the compiled kernels do not load: {error}"
    for name, arguments in _ARGUMENTS.items():
        function = getattr(loaded, name)
        function.argtypes, function.restype = arguments, None
    return loaded, None


@functools.cache
def _build() -> Path | str:
    """The library's path, compiled on the first call on this machine, or the reason why it cannot be."""
    wanted = os.environ.get("CXX") or "g++"
    compiler = shutil.which(wanted)
    if compiler is None:
        return f"no C++ compiler: {wanted} not found"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "triseg"
    try:
        path = cache / f"kernels-{_fingerprint(compiler)}.so"
        if not path.exists():
            with atomic_path(path) as temporary:
                command = [compiler, *FLAGS, str(SOURCES / "kernels.cpp"), "-o", str(temporary)]
                subprocess.run(command, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or ["no message"]
        reason = next((line for line in lines if "error" in line), lines[-1])
        return f"{wanted} could not compile the kernels: {reason}"
    except OSError as error:
        return f"the kernels' cache folder cannot be used: {error}"
    return path


def _fingerprint(compiler: str) -> str:
    """Gives a text that differs where the library must: for other sources, compilers, flags or instruction sets."""
    parts = [compiler, *FLAGS, platform.machine(), _instruction_set()]
    parts.append(subprocess.run([compiler, "--version"], check=True, capture_output=True, text=True).stdout)
    parts += [path.read_text() for path in [*sorted(SOURCES.glob("*.h")), SOURCES / "kernels.cpp"]]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _instruction_set() -> str:
    """Describes the instructions that this machine's processor has."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
