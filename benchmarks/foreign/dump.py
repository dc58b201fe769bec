"""A dump: what a network computed, in a folder, written by whatever framework and read here.

docs/dumps.md describes the files. Each serves a gate, and each may be missing: what is missing is not judged.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.foreign.arrays import NamedArrays, in_memory, stored, stored_if_there
from common.errors import UserError
from common.files import IMAGE_SUFFIXES, read_json

VERSION = 1
FACTS, OLD = "dump.json", "outputs.npz"


@dataclass(frozen=True)
class Dump:
    """The arrays of one network's run; those of a file that is not there are none.

    folder: where it lies. name: what the reports call it. framework: what computed it, "" where that is not said.
    old: whether it is of the form before version 1, which has layers alone.
    """

    folder: Path
    name: str
    framework: str = ""
    old: bool = False

    @cached_property
    def kinds(self) -> Mapping[str, str]:
        """The layers' classes by their names."""
        return read_names(self.folder / "kinds.json")

    @cached_property
    def inputs(self) -> NamedArrays:
        """What the network was given, by name."""
        if not self.old:
            return stored_if_there(self.folder / "inputs.npz")
        given = stored(self.folder / OLD).where(is_input)
        return NamedArrays(
            given.source,
            {name.removeprefix("input."): shape for name, shape in given.shapes.items()},
            lambda name: given.array(name if name in given else f"input.{name}"),
        )

    @cached_property
    def layers(self) -> NamedArrays:
        """What each layer answered, in the order of the computation (gate 1)."""
        if self.old:
            return stored(self.folder / OLD).where(lambda name: not is_input(name)).with_kinds(self.kinds)
        return stored_if_there(self.folder / "layers.npz").with_kinds(self.kinds)

    @cached_property
    def preprocessed(self) -> NamedArrays:
        """What the image became on its way to the network (gate 0), by its own file or as it was given."""
        own = stored_if_there(self.folder / "preprocessed.npz")
        return own if len(own) else self.inputs

    @cached_property
    def image(self) -> Path | None:
        """The file of the image (gate 0); None where there is none."""
        found = (self.folder / f"image{suffix}" for suffix in IMAGE_SUFFIXES)
        return next((path for path in found if path.is_file()), None)

    @cached_property
    def parameters(self) -> NamedArrays:
        """The weights and statistics by which layers, losses and gradients were computed."""
        return stored_if_there(self.folder / "parameters.npz")

    @cached_property
    def losses(self) -> NamedArrays:
        """The terms of the loss, each an array (1,) (gate 2)."""
        path = self.folder / "losses.json"
        terms = read_json(path) if path.is_file() else {}
        if not isinstance(terms, dict) or not all(isinstance(value, int | float) for value in terms.values()):
            raise UserError(f'{path}: not an object of numbers, {{"term": 0.5}}')
        return in_memory(str(path), {name: np.array([value], np.float64) for name, value in terms.items()})

    @cached_property
    def gradients(self) -> NamedArrays:
        """The gradient of every parameter (gate 3)."""
        return stored_if_there(self.folder / "gradients.npz")

    @cached_property
    def steps(self) -> list["Step"]:
        """The optimizer's steps in their order (gate 4)."""
        paths = sorted((self.folder / "steps").glob("*.npz"))
        return [Step(number, stored(path)) for number, path in enumerate(paths, start=1)]

    @property
    def results_path(self) -> Path:
        """The file of the results; the PNGs of panoptic ones lie in the folder of its name."""
        return self.folder / "results.json"

    @cached_property
    def results(self) -> list[dict[str, Any]] | None:
        """The entries of a COCO results file, of detections or panoptic (gate 5); None where there is none."""
        if not self.results_path.is_file():
            return None
        read = read_json(self.results_path)
        entries = read.get("annotations") if isinstance(read, dict) else read
        if not (isinstance(entries, list) and all(isinstance(one, dict) for one in entries)):
            raise UserError(f"{self.results_path}: not a list of COCO results, nor panoptic ones with annotations")
        return entries

    @cached_property
    def exact(self) -> "Dump | None":
        """The same run in float64; None where there is none."""
        return self._other_run("float64")

    @cached_property
    def again(self) -> "Dump | None":
        """A second run of the same: on another machine, with other threads, or in another order of the batch."""
        return self._other_run("again")

    def _other_run(self, part: str) -> "Dump | None":
        if (self.folder / part).is_dir():
            return read_dump(self.folder / part)
        old = self.folder / f"{part}.npz"
        return _OldExact(self.folder, self.name) if self.old and old.is_file() else None


class _OldExact(Dump):
    """The layers in float64 that lie beside those of an old dump."""

    @cached_property
    def layers(self) -> NamedArrays:
        return stored(self.folder / "float64.npz")


@dataclass(frozen=True)
class Step:
    """One step of an optimizer. number: from 1. file: its arrays, by the names that docs/dumps.md gives."""

    number: int
    file: NamedArrays

    @cached_property
    def before(self) -> NamedArrays:
        """Weights and statistics before the step."""
        return self.file.below("before/")

    @cached_property
    def after(self) -> NamedArrays:
        return self.file.below("after/")

    @cached_property
    def gradients(self) -> NamedArrays:
        """As the optimizer takes them: after clipping."""
        return self.file.below("gradient/")

    @cached_property
    def memory(self) -> NamedArrays:
        """The optimizer's memory after the step, as SLOT/PARAMETER."""
        return self.file.below("memory/")

    @cached_property
    def losses(self) -> NamedArrays:
        """The terms of the loss."""
        return self.file.below("loss/")

    @cached_property
    def memory_before(self) -> NamedArrays:
        """The same before the step."""
        return self.file.below("memory before/")

    @property
    def count(self) -> int:
        """The number of the step, counted from the optimizer's first, which need not be the first of the dump."""
        return int(self.file.array("count").reshape(-1)[0]) if "count" in self.file else self.number

    @cached_property
    def rate(self) -> float | None:
        """The learning rate; None where it is not said."""
        return float(self.file.array("rate").reshape(-1)[0]) if "rate" in self.file else None


def read_dump(folder: str | Path) -> Dump:
    """Opens a dump of this version, or one of the form before it."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"dump not found: {folder}")
    path = folder / FACTS
    if not path.is_file():
        if not (folder / OLD).is_file():
            raise UserError(f"dump not found: {folder} has neither {FACTS} nor {OLD}")
        return Dump(folder, folder.resolve().name, old=True)
    facts = read_json(path)
    if not isinstance(facts, dict) or not isinstance(facts.get("version"), int):
        raise UserError(f'{path}: no "version", a whole number')
    if facts["version"] > VERSION:
        raise UserError(f"{path}: version {facts['version']} of a dump; this reads up to version {VERSION}")
    return Dump(folder, str(facts.get("name") or folder.resolve().name), str(facts.get("framework", "")))


def is_input(name: str) -> bool:
    """Whether an array of an old dump is what the network was given."""
    return name == "image" or name.startswith("input.")


def read_names(path: Path) -> dict[str, str]:
    """An object of names by names, `{"conv1": "Conv2d"}`; empty where there is no such file."""
    if not path.is_file():
        return {}
    try:
        names = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path}: not JSON: {error}") from None
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise UserError(f'{path}: not an object of names, {{"name": "name"}}')
    return names
