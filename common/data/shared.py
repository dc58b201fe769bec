"""Arrays in memory that several processes share without a copy.

They lie in an anonymous file in memory. A killed process cannot leave it behind, as it has no name; no limit such as
/dev/shm's in a container applies; and it disappears with the last process that has it open.
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
    """Named arrays in shared memory; pickled for a process that is being started, they are shared and not copied."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        layout, end = _plan_layout(arrays)
        self._open(_create_file(end), layout)
        for name, array in arrays.items():
            self[name][...] = array

    def _open(self, file: int, layout: _Layout) -> None:
        self._file, self._layout = file, layout
        weakref.finalize(self, os.close, file)
        memory = mmap.mmap(file, os.fstat(file).st_size)
        # The arrays keep the mapping alive; it is released with the last of them.
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
        return _unpickle, (reduction.DupFd(self._file), self._layout)

    def send(self, pipe: connection.Connection) -> None:
        """Hands the arrays to the process at the other end of a duplex pipe, which calls `receive`."""
        pipe.send(self._layout)
        reduction.send_handle(pipe, self._file, None)

    @classmethod
    def receive(cls, pipe: connection.Connection) -> "SharedArrays":
        """Takes the arrays that the process at the other end of the pipe hands over with `send`."""
        layout = pipe.recv()
        return cls._attach(reduction.recv_handle(pipe), layout)

    @classmethod
    def _attach(cls, file: int, layout: _Layout) -> "SharedArrays":
        shared = cls.__new__(cls)
        shared._open(file, layout)
        return shared


def _unpickle(duplicate, layout: _Layout) -> SharedArrays:
    return SharedArrays._attach(duplicate.detach(), layout)


def _plan_layout(arrays: Mapping[str, np.ndarray]) -> tuple[_Layout, int]:
    """Places the arrays one after another in a file; returns the layout and the file's size in bytes."""
    layout, end = {}, 0
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"{name} holds Python objects and cannot be shared")
        layout[name] = (array.dtype.str, array.shape, end)
        end += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
    return layout, max(end, 1)


def _create_file(size: int) -> int:
    """Creates an anonymous file of `size` bytes and returns its descriptor."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("triseg")
    else:
        with tempfile.TemporaryFile() as temporary:
            file = os.dup(temporary.fileno())
    os.ftruncate(file, size)
    return file
