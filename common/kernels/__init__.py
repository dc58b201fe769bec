"""Operators of vision, norms and the parts of transformers in plain C++ for the CPU, compiled on first use.

PyTorch reaches the compiled library through `library()`, MindSpore's custom operators through `library_path()`, and
Jittor compiles `header(name)` into its own operators. Without a compiler the first two are None and `problem()` says
in one line why; each wing then falls back to operations of its framework.
"""

import ctypes
import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.kernels.compiling import SOURCES, compile_library

_NAME = "kernels"

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
    "triseg_sum_of_squares": [_POINTER, _INT64],
    "triseg_sgd_step": [*[_POINTER] * 3, _INT64, _POINTER],
    "triseg_adam_step": [*[_POINTER] * 4, _INT64, _POINTER],
}

_RESULTS = {"triseg_sum_of_squares": ctypes.c_double}


def header(name: str) -> str:
    """The C++ text of the kernel of this name; its functions are in the namespace `triseg`."""
    return (SOURCES / f"{name}.h").read_text()


def library() -> ctypes.CDLL | None:
    """The compiled kernels with their argument types declared, or None where they cannot be had."""
    return _load()[0]


def library_path() -> Path | None:
    """The compiled kernels' file, or None where they cannot be had."""
    path = compile_library(_NAME)
    return path if isinstance(path, Path) else None


def problem() -> str | None:
    """Why there are no compiled kernels, in one line; None when they work."""
    return _load()[1]


def int64s(*values: int) -> ctypes.Array:
    """Gives whole numbers, such as a shape, in the form in which the kernels take them."""
    return (ctypes.c_int64 * len(values))(*values)


def sides_of_levels(shapes: Sequence[tuple[int, int]], cells: int) -> np.ndarray:
    """(levels, 2) int32, the heights and widths of ms_deform_attn's maps, whose kernel reads where they say.

    So it is an error when they do not have `cells` cells together.
    """
    sides = np.array(shapes, np.int32).reshape(-1, 2)
    if sides.prod(1).sum() != cells:
        raise ValueError(f"maps of the shapes {sides.tolist()} do not have {cells} cells together")
    return sides


@functools.cache
def _load() -> tuple[ctypes.CDLL | None, str | None]:
    built = compile_library(_NAME)
    if isinstance(built, str):
        return None, built
    try:
        loaded = ctypes.CDLL(str(built))
    except OSError as error:
        return None, f"the compiled kernels do not load: {error}"
    for name, arguments in _ARGUMENTS.items():
        function = getattr(loaded, name)
        function.argtypes, function.restype = arguments, _RESULTS.get(name)
    return loaded, None
