"""A network's arrays in a folder, written by whatever framework: `outputs.npz`, and what may lie beside it.

`outputs.npz` has the input as `image` (each of several as `input.NAME`) and an array for every layer, in the order in
which the network computes them. `float64.npz` has the same layers of the same network in float64; only a reference
needs it. `inputs.npz` has the inputs alone, for whoever runs the other network. `kinds.json` has the layers' classes,
`{name: class}`, and `map.json` translates a dump's names into the reference's, `{theirs: ours}`.
"""

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from common.errors import UserError
from common.files import atomic_path, existing_file

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_UNREADABLE = (OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error)


class Dump:
    """The arrays of one npz file; their shapes are known at once, and each is read when it is asked for."""

    def __init__(self, path: Path):
        self.path = existing_file(path, "dump")
        self.shapes: dict[str, tuple[int, ...]] = {}  # in the file's order
        with self._errors("not a file of arrays (npz)"), zipfile.ZipFile(self.path) as archive:
            for entry in archive.namelist():
                with archive.open(entry) as file:
                    self.shapes[entry.removesuffix(".npy")] = self._shape(entry, file)

    @property
    def inputs(self) -> list[str]:
        return [name for name in self.shapes if is_input(name)]

    @property
    def layers(self) -> list[str]:
        return [name for name in self.shapes if not is_input(name)]

    def array(self, name: str) -> np.ndarray:
        """Floating-point values of the array's own precision; integers and truths become float64."""
        with self._errors(f"{name!r} cannot be read"), np.load(self.path) as stored:
            array = stored[name]
        return array if array.dtype.kind == "f" else array.astype(np.float64)

    def _shape(self, entry: str, file) -> tuple[int, ...]:
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"{entry} has version {version} of NumPy's format")
        shape, _, dtype = _HEADERS[version](file)
        if dtype.kind not in "fiub":
            raise UserError(f"{self.path}: layer {entry.removesuffix('.npy')!r} holds {dtype.name}, not real numbers")
        return shape

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except _UNREADABLE as error:
            raise UserError(f"{self.path}: {what}: {error}") from None


def is_input(name: str) -> bool:
    return name == "image" or name.startswith("input.")


def read_names(path: Path) -> dict[str, str]:
    """`map.json` or `kinds.json`; empty where there is none."""
    if not path.is_file():
        return {}
    try:
        names = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path}: not JSON: {error}") from None
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise UserError(f'{path}: not an object of names, {{"name": "name"}}')
    return names


class Archive:
    """An npz file in the making: `archive[name] = array` writes the array, so that no two have to be in memory.

    np.savez would want them all, and has no room for one that is called `file`.
    """

    def __init__(self, file: zipfile.ZipFile):
        self._file = file

    def __setitem__(self, name: str, array: np.ndarray) -> None:
        with self._file.open(f"{name}.npy", "w", force_zip64=True) as entry:
            np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)

    def add(self, arrays: Mapping[str, np.ndarray]) -> None:
        for name, array in arrays.items():
            self[name] = array


@contextmanager
def writing(path: Path) -> Iterator[Archive]:
    """A new npz file, which is there once the block has ended well."""
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as file:
        yield Archive(file)


def write_dump(
    folder: str | Path,
    inputs: Mapping[str, np.ndarray],
    outputs: Mapping[str, np.ndarray],
    float64: Mapping[str, np.ndarray] | None = None,
    kinds: Mapping[str, str] | None = None,
) -> None:
    """Writes a dump; a reader finds all of it or none.

    inputs: by name; a single one is called `image`. outputs: the layers in the order of the computation.
    float64: the same layers computed in float64, which makes of the dump a reference. kinds: the layers' classes, by
    which usual causes are told.
    """
    folder = Path(folder)
    clash = next((name for name in outputs if is_input(name)), None)
    if clash:
        raise UserError(f"{folder}: a layer cannot be called {clash!r}, which is the name of an input")
    for part in ("outputs.npz", "float64.npz", "kinds.json"):
        (folder / part).unlink(missing_ok=True)
    if float64 is not None:
        with writing(folder / "float64.npz") as archive:
            archive.add(float64)
    if kinds is not None:
        write_kinds(folder, kinds)
    with writing(folder / "inputs.npz") as archive:
        archive.add(inputs)
    with writing(folder / "outputs.npz") as archive:
        archive.add({name if name == "image" else f"input.{name}": array for name, array in inputs.items()})
        archive.add(outputs)


def write_kinds(folder: Path, kinds: Mapping[str, str]) -> None:
    with atomic_path(folder / "kinds.json") as path:
        path.write_text(json.dumps(kinds, indent=1))
