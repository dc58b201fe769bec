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
    if kinds is not None:
        with atomic_path(folder / "kinds.json") as path:
            path.write_text(json.dumps(kinds, indent=1))
    if float64 is not None:
        _write(folder / "float64.npz", float64)
    _write(folder / "inputs.npz", inputs)
    named = {name if name == "image" else f"input.{name}": array for name, array in inputs.items()}
    _write(folder / "outputs.npz", named, outputs)


def _write(path: Path, *groups: Mapping[str, np.ndarray]) -> None:
    """As np.savez does, which has no room for an array called `file` and wants all of them in memory."""
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for arrays in groups:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
