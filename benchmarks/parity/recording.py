"""The reference's values on disk, layer by layer: written once, read by every wing one array at a time."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from common.array import Array, namespace
from common.files import atomic_path
from common.observing import Calls, arrays_in, replaced


class Recorder:
    """An observer that writes what the modules are given and what they answer, in the order of the computation.

    Without `everything` it writes the values of the outermost modules, and of the others that they are there: most of
    the time nobody asks for them, and they are a thousand times as much.
    """

    def __init__(self, folder: Path, everything: bool):
        self._folder, self._everything, self._calls, self._last = folder, everything, Calls(), []
        self._depth = 0  # how many modules are at work within each other
        self.entries: list[dict[str, str]] = []
        folder.mkdir(parents=True, exist_ok=True)

    def watches(self, path: str) -> bool:
        return bool(path)

    def entering(self, path: str, kind: str, value: Any) -> None:
        for name, array in arrays_in(value, self._calls.enter(path)):
            self.add(f"input of {name}", "input", array, path)
        self._depth += 1

    def leaving(self, path: str, kind: str, value: Any) -> None:
        self._depth -= 1
        for name, array in arrays_in(value, self._calls.current(path)):
            self.add(name, kind, array, path)

    def add(self, name: str, kind: str, array: Array, path: str = "") -> None:
        """Writes an array; one that was written last, and now goes into the next module, is written once."""
        if self._depth and not self._everything:
            self.entries.append({"name": name, "kind": kind, "file": "", "path": path})
            return
        last = next((file for seen, file in self._last if seen is array), None)
        file = last or f"{len(self.entries)}.npy"
        if last is None:
            np.save(self._folder / file, namespace(array).to_numpy(array))
        # What a module gives out is mostly what the next one takes in.
        self._last = [*self._last[-7:], (array, file)]
        self.entries.append({"name": name, "kind": kind, "file": file, "path": path})

    def finish(self) -> None:
        with atomic_path(self._folder / "index.json") as path:
            path.write_text(json.dumps(self.entries))


class Recording:
    """What a Recorder wrote."""

    def __init__(self, folder: Path):
        self._folder = folder
        self.entries: list[dict[str, str]] = json.loads((folder / "index.json").read_text())
        self._files = {entry["name"]: entry["file"] for entry in self.entries}
        self._passed_on = {name for pair in self.twins() for name in pair}
        self._paths = {entry["path"] for entry in self.entries if entry["path"]}

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def is_written(self, path: str) -> bool:
        """Whether the values of a module are there, and not its name alone."""
        return all(entry["file"] for entry in self.entries if entry["path"] == path)

    def twins(self) -> Iterator[tuple[str, str]]:
        """Pairs of names that one array has."""
        first: dict[str, str] = {}
        for name, file in self._files.items():
            if file and first.setdefault(file, name) != name:
                yield first[file], name

    def read(self, name: str) -> np.ndarray:
        return np.load(self._folder / self._files[name], mmap_mode="r")

    def is_passed_on(self, name: str) -> bool:
        """Whether this is an array that another name has too."""
        return name in self._passed_on

    def children(self, path: str) -> set[str]:
        """The modules right below one; "" is the network. A list of modules is no module."""
        below = {other for other in self._paths if other != path and other.startswith(f"{path}." if path else "")}
        return {other for other in below if not any(other.startswith(f"{between}.") for between in below)}


Compare = Callable[[str, str, str, np.ndarray | None, np.ndarray | None], None]


class Meeting:
    """An observer that brings what a network computes together with the recording, one array at a time.

    compare(name, kind, path, reference, other) is called for each; one of the two is None where the networks do not
    make the same calls. injected: every module is given, and gives on, the reference's values, so that what one does
    wrong goes no further.
    """

    def __init__(self, recording: Recording, watched: set[str], injected: bool, compare: Compare):
        self._recording, self._watched, self._injected, self._compare = recording, watched, injected, compare
        self._calls, self._passed_on, self._met = Calls(), [], set()

    def watches(self, path: str) -> bool:
        return path in self._watched

    def entering(self, path: str, kind: str, value: Any) -> Any:
        return self._meet("input of ", self._calls.enter(path), "input", path, value)

    def leaving(self, path: str, kind: str, value: Any) -> Any:
        return self._meet("", self._calls.current(path), kind, path, value)

    def _meet(self, prefix: str, call: str, kind: str, path: str, value: Any) -> Any:
        given = []
        for name, array in arrays_in(value, call):
            name = prefix + name
            self._met.add(name)
            known = any(array is passed for passed in self._passed_on) and self._recording.is_passed_on(name)
            if not known:
                array = self._held_against(name, kind, path, array)
            given.append(array)
        if not prefix:
            self._passed_on = given
        return replaced(value, iter(given)) if self._injected else None

    def _held_against(self, name: str, kind: str, path: str, array: Array) -> Array:
        """Compares the array with the reference's; what goes on in its place."""
        xp = namespace(array)
        reference = self._recording.read(name) if name in self._recording else None
        self._compare(name, kind, path, reference, xp.to_numpy(array))
        if not self._injected or reference is None or reference.shape != tuple(array.shape):
            return array
        return xp.asarray(np.array(reference), array)

    def finish(self) -> None:
        """Tells of the reference's calls that were not made."""
        for entry in self._recording.entries:
            if entry["path"] in self._watched and entry["name"] not in self._met:
                self._compare(entry["name"], entry["kind"], entry["path"], self._recording.read(entry["name"]), None)
