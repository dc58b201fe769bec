"""Named arrays: of an npz file, of which each is read when it is asked for, or in memory."""

import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np

from common.errors import UserError
from common.files import existing_file

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_MOST_OPEN = 16  # archives that are kept open
_UNREADABLE = (OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error)


class NamedArrays:
    """Arrays by name, in the order in which they were computed.

    source: what an error calls them, a file's path. kinds: the layers' classes, by name, where they are known.
    read: gives the array of a name.
    """

    def __init__(
        self,
        source: str,
        shapes: Mapping[str, tuple[int, ...]],
        read: Callable[[str], np.ndarray],
        kinds: Mapping[str, str] | None = None,
    ):
        self.source, self.shapes, self._read = source, dict(shapes), read
        self.kinds: Mapping[str, str] = kinds or {}

    @property
    def names(self) -> Sequence[str]:
        return list(self.shapes)

    def __contains__(self, name: str) -> bool:
        return name in self.shapes

    def __len__(self) -> int:
        return len(self.shapes)

    def array(self, name: str) -> np.ndarray:
        """Floating-point values of the array's own precision; integers and truths become float64."""
        array = self._read(name)
        return array if array.dtype.kind == "f" else array.astype(np.float64)

    def where(self, keep: Callable[[str], bool]) -> "NamedArrays":
        """Those whose names are to be kept."""
        shapes = {name: shape for name, shape in self.shapes.items() if keep(name)}
        return NamedArrays(self.source, shapes, self._read, self.kinds)

    def below(self, prefix: str) -> "NamedArrays":
        """Those whose names begin with a prefix, by the rest of their names."""
        names = {name.removeprefix(prefix): name for name in self.shapes if name.startswith(prefix)}
        shapes = {rest: self.shapes[name] for rest, name in names.items()}
        return NamedArrays(self.source, shapes, lambda rest: self._read(names[rest]))

    def with_kinds(self, kinds: Mapping[str, str]) -> "NamedArrays":
        return NamedArrays(self.source, self.shapes, self._read, kinds)


def in_memory(source: str, arrays: Mapping[str, np.ndarray]) -> NamedArrays:
    """Arrays that are at hand."""
    held = {name: np.asarray(array) for name, array in arrays.items()}
    return NamedArrays(source, {name: array.shape for name, array in held.items()}, held.__getitem__)


def stored(path: Path) -> NamedArrays:
    """The arrays of an npz file; their shapes are known at once, and each is read when it is asked for."""
    path = existing_file(path, "dump")
    shapes, entries = {}, {}
    with _errors(path, "not a file of arrays (npz)"):
        for entry in (archive := _opened(path)).namelist():
            with archive.open(entry) as file:
                entries[entry.removesuffix(".npy")] = entry
                shapes[entry.removesuffix(".npy")] = _shape(path, entry, file)

    def read(name: str) -> np.ndarray:
        with _errors(path, f"{name!r} cannot be read"), _opened(path).open(entries[name]) as file:
            return np.lib.format.read_array(file, allow_pickle=False)

    return NamedArrays(str(path), shapes, read)


def stored_if_there(path: Path) -> NamedArrays:
    """The arrays of an npz file; none where there is no such file."""
    return stored(path) if path.is_file() else in_memory(str(path), {})


class Archive:
    """An npz file that grows: `archive[name] = array` adds an array, after which the file can be read.

    np.savez would want all arrays in memory, and has no room for one that is called `file`.
    """

    def __init__(self, path: Path):
        self._path = path

    def __setitem__(self, name: str, array: np.ndarray) -> None:
        self.add({name: array})

    def add(self, arrays: Mapping[str, np.ndarray]) -> None:
        with zipfile.ZipFile(self._path, "a") as file:
            for name, array in arrays.items():
                with file.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)


def _opened(path: Path) -> zipfile.ZipFile:
    """The archive at a path, whose table of contents is read anew only where the file has changed."""
    state = path.stat()
    return _archive(path, (state.st_ino, state.st_size, state.st_mtime_ns))


@lru_cache(maxsize=_MOST_OPEN)
def _archive(path: Path, state: tuple[int, int, int]) -> zipfile.ZipFile:
    """The archive of a file in a state; the file is closed when no one holds the archive any longer."""
    return zipfile.ZipFile(path)


def _shape(path: Path, entry: str, file) -> tuple[int, ...]:
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"{entry} has version {version} of NumPy's format")
    shape, _, dtype = _HEADERS[version](file)
    if dtype.kind not in "fiub":
        raise UserError(f"{path}: {entry.removesuffix('.npy')!r} holds {dtype.name}, not real numbers")
    return shape


@contextmanager
def _errors(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        raise UserError(f"{path}: {what}: {error}") from None
