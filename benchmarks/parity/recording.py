"""The reference's values of every layer on disk: they are written once, and read one array at a time."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from common.array import Array, namespace
from common.files import atomic_path
from common.observing import Calls, arrays_in, replaced


class Recorder:
    """An observer that writes the inputs and outputs of all modules in the order of the computation."""

    def __init__(self, folder: Path):
        self._folder, self._calls, self._last = folder, Calls(), []
        self.entries: list[dict[str, str]] = []
        folder.mkdir(parents=True, exist_ok=True)

    def watches(self, path: str) -> bool:
        return bool(path)

    def entering(self, path: str, kind: str, value: Any) -> None:
        for name, array in arrays_in(value, self._calls.enter(path)):
            self.add(f"input of {name}", "input", array, path)

    def leaving(self, path: str, kind: str, value: Any) -> None:
        for name, array in arrays_in(value, self._calls.current(path)):
            self.add(name, kind, array, path)

    def add(self, name: str, kind: str, array: Array, path: str = "") -> None:
        """Writes an array under a name; the output of one module that is the next one's input is written once."""
        last = next((file for seen, file in self._last if seen is array), None)
        file = last or f"{len(self.entries)}.npy"
        if last is None:
            np.save(self._folder / file, namespace(array).to_numpy(array))
        self._last = [*self._last[-7:], (array, file)]
        self.entries.append({"name": name, "kind": kind, "file": file, "path": path})

    def finish(self) -> None:
        with atomic_path(self._folder / "index.json") as path:
            path.write_text(json.dumps(self.entries))


class Recording:
    """The values that a `Recorder` wrote."""

    def __init__(self, folder: Path):
        self._folder = folder
        self.entries: list[dict[str, str]] = json.loads((folder / "index.json").read_text())
        self._files = {entry["name"]: entry["file"] for entry in self.entries}
        self._shared = {name for pair in self.twins() for name in pair}

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def paths(self) -> set[str]:
        """The paths of all modules."""
        return {entry["path"] for entry in self.entries if entry["path"]}

    def twins(self) -> Iterator[tuple[str, str]]:
        """Pairs of names that belong to one array."""
        first: dict[str, str] = {}
        for name, file in self._files.items():
            if first.setdefault(file, name) != name:
                yield first[file], name

    def read(self, name: str) -> np.ndarray:
        return np.load(self._folder / self._files[name], mmap_mode="r")

    def is_shared(self, name: str) -> bool:
        """Whether the array of this name has another name, too."""
        return name in self._shared


Compare = Callable[[str, str, str, np.ndarray | None, np.ndarray | None], None]


class Comparing:
    """An observer that compares the values of a network with the recording while they are computed.

    watched: the paths of the modules that are compared.
    injected: whether every module is given the reference's inputs, and its outputs are replaced by the reference's, so
        that a fault in one module does not reach the next.
    compare: compare(name, kind, path, reference, other) is called for each array; one of the two is None where the
        networks do not make the same calls.
    """

    def __init__(self, recording: Recording, watched: set[str], injected: bool, compare: Compare):
        self._recording, self._watched, self._injected, self._compare = recording, watched, injected, compare
        self._calls, self._outputs, self._seen = Calls(), [], set()

    def watches(self, path: str) -> bool:
        return path in self._watched

    def entering(self, path: str, kind: str, value: Any) -> Any:
        return self._compare_value("input of ", self._calls.enter(path), "input", path, value)

    def leaving(self, path: str, kind: str, value: Any) -> Any:
        return self._compare_value("", self._calls.current(path), kind, path, value)

    def _compare_value(self, prefix: str, call: str, kind: str, path: str, value: Any) -> Any:
        """Compares each array of a module's input or output, and gives what goes on in its place; None leaves it."""
        arrays = []
        for name, array in arrays_in(value, call):
            name = prefix + name
            self._seen.add(name)
            # One array that is both an output and the next module's input is compared once, as the output.
            known = any(array is output for output in self._outputs) and self._recording.is_shared(name)
            if not known:
                array = self._compare_array(name, kind, path, array)
            arrays.append(array)
        if not prefix:
            self._outputs = arrays
        return replaced(value, iter(arrays)) if self._injected else None

    def _compare_array(self, name: str, kind: str, path: str, array: Array) -> Array:
        """Compares an array with the reference's, and gives the one of the two that goes on."""
        xp = namespace(array)
        reference = self._recording.read(name) if name in self._recording else None
        self._compare(name, kind, path, reference, xp.to_numpy(array))
        if not self._injected or reference is None or reference.shape != tuple(array.shape):
            return array
        return xp.asarray(np.array(reference), array)

    def finish(self) -> None:
        """Compares the reference's calls that were not made with None."""
        for entry in self._recording.entries:
            if entry["path"] in self._watched and entry["name"] not in self._seen:
                self._compare(entry["name"], entry["kind"], entry["path"], self._recording.read(entry["name"]), None)
