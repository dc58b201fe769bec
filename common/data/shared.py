"""Arrays that several processes see without a copy.

They lie in an anonymous file in memory: it has no name that a killed process could leave behind, no limit such as
/dev/shm's in a container, and goes when the last process that looks at it does.
"""

import mmap
import os
import tempfile
import weakref
from collections.abc import Mapping
from multiprocessing import connection, reduction

import numpy as np

_ALIGNMENT = 64
_Layout = dict[str, tuple[str, tuple[int, ...], int]]  # dtype, shape, offset


class SharedArrays(Mapping[str, np.ndarray]):
    """Named arrays in shared memory. Pickled on the way to a process that is being started, it passes by reference."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        layout, end = _layout(arrays)
        self._open(_anonymous_file(end), layout)
        for name, array in arrays.items():
            self[name][...] = array

    def _open(self, file: int, layout: _Layout) -> None:
        self._file, self._layout = file, layout
        weakref.finalize(self, os.close, file)
        memory = mmap.mmap(file, os.fstat(file).st_size)
        # The arrays hold the memory; it goes with the last of them.
        self._arrays = {
            name: np.ndarray(shape, dtype, memory, offset) for name, (dtype, shape, offset) in layout.items()
        }

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def __iter__(self):
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __reduce__(self):
        return _attach, (reduction.DupFd(self._file), self._layout)

    def send(self, pipe: connection.Connection) -> None:
        """Hands the arrays to the process at the other end of a duplex pipe, which calls `receive`."""
        pipe.send(self._layout)
        reduction.send_handle(pipe, self._file, None)

    @classmethod
    def receive(cls, pipe: connection.Connection) -> "SharedArrays":
        layout = pipe.recv()
        return cls._attached(reduction.recv_handle(pipe), layout)

    @classmethod
    def _attached(cls, file: int, layout: _Layout) -> "SharedArrays":
        shared = cls.__new__(cls)
        shared._open(file, layout)
        return shared


def _attach(duplicate, layout: _Layout) -> SharedArrays:
    return SharedArrays._attached(duplicate.detach(), layout)


def _layout(arrays: Mapping[str, np.ndarray]) -> tuple[_Layout, int]:
    layout, end = {}, 0
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"{name} holds Python objects and cannot be shared")
        layout[name] = (array.dtype.str, array.shape, end)
        end += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
    return layout, max(end, 1)


def _anonymous_file(size: int) -> int:
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("triseg")
    else:
        with tempfile.TemporaryFile() as temporary:
            file = os.dup(temporary.fileno())
    os.ftruncate(file, size)
    return file
