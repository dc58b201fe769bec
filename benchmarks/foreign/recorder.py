"""Writes a dump while a network runs; NumPy is all that it needs."""

import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.foreign.arrays import Archive
from benchmarks.foreign.dump import FACTS, OLD, VERSION
from common.errors import UserError
from common.files import IMAGE_SUFFIXES, atomic_path, existing_file, write_json
from common.observing import arrays_in

_FILES = ("inputs", "preprocessed", "parameters", "layers", "gradients")
_OWN = (OLD, "float64.npz", "kinds.json", "losses.json", "results.json", *(f"{name}.npz" for name in _FILES))


class Recorder:
    """Keeps what a network computes, in the folder of a dump; an array may be of any framework.

        record = Recorder("mine", {"image": image}, parameters)
        record.layer("conv1", x)
        record.backward({"ce": loss}, gradients)
        record.step(parameters, rate=0.1)

    It is an observer as well: `with observed(network, record): network(image)` of a wing's `observing.py` calls `layer`
    for every module.

    folder: of the dump; what an earlier dump left there goes, but for `map.json`, `float64` and `again`.
    inputs: what the network is given, by name; a single one is called `image`.
    parameters: its weights and statistics, by name.
    framework: what computes it, for the report.
    memory, done: the optimizer's memory, as `step` takes it, and the steps done, where it has made some before.
    """

    def __init__(
        self,
        folder: str | Path,
        inputs: Mapping[str, Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
        framework: str = "",
        memory: Mapping[str, Any] | None = None,
        done: int = 0,
    ):
        self._folder, self._names = Path(folder), Counter()
        self._kinds: dict[str, str] = {}
        self._parameters = _arrays(parameters or {})
        self._pending: dict[str, np.ndarray] = {}  # losses and gradients of the step to come
        self._memory, self._done = _arrays(memory or {}), done
        self._backward = self._steps = 0
        self._clear()
        self._write("inputs", _arrays(inputs or {}))
        self._write("parameters", self._parameters)
        facts = {"version": VERSION, "name": self._folder.resolve().name, "framework": framework}
        with atomic_path(self._folder / FACTS) as path:
            path.write_text(json.dumps(facts, indent=1) + "\n")

    def image(self, path: str | Path, preprocessed: Any) -> None:
        """Keeps the file of an image, and what it became on its way to the network (gate 0)."""
        path = Path(path)
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            raise UserError(f"{path}: not an image; there are {', '.join(IMAGE_SUFFIXES)}")
        with atomic_path(self._folder / f"image{path.suffix.lower()}") as temporary:
            shutil.copyfile(existing_file(path, "image"), temporary)
        self._write("preprocessed", {"image": as_numpy(preprocessed)})

    def layer(self, name: str, output: Any, kind: str = "") -> None:
        """Keeps what a layer answers (gate 1), in the order of the calls and only until `backward` is called.

        output: an array, or a list, tuple or dict of arrays, which become `NAME/0`, `NAME/1` ...; a layer's second call
        is `NAME@1`. kind: its class, `Conv2d`, by which usual causes are told.
        """
        if self._backward:
            return
        self._names[name] += 1
        again = self._names[name] - 1
        found = {each: as_numpy(array) for each, array in arrays_in(output, f"{name}@{again}" if again else name)}
        if not found:
            raise UserError(f"{self._folder}: layer {name!r} has no array: {type(output).__name__}")
        Archive(self._folder / "layers.npz").add(found)
        if kind:
            self._kinds |= dict.fromkeys(found, kind)
            write_json(self._folder / "kinds.json", self._kinds)

    def backward(self, losses: Mapping[str, Any], gradients: Mapping[str, Any]) -> None:
        """Keeps the terms of the loss (gate 2) and the gradients of the parameters (gate 3), of the first call alone.

        Those of every call belong to the next `step`. gradients: by the parameters' names, after clipping.
        """
        terms, found = {name: number(value) for name, value in losses.items()}, _arrays(gradients)
        if not self._backward:
            write_json(self._folder / "losses.json", terms)
            self._write("gradients", found)
        self._backward += 1
        self._pending = {f"loss/{name}": np.array([value]) for name, value in terms.items()}
        self._pending |= {f"gradient/{name}": array for name, array in found.items()}

    def step(
        self, parameters: Mapping[str, Any], rate: float | None = None, memory: Mapping[str, Any] | None = None
    ) -> None:
        """Keeps a step of the optimizer (gate 4): call it after the step.

        parameters: as they are now, statistics included. rate: the learning rate of this step. memory: the optimizer's,
        by `SLOT/PARAMETER`: `momentum_buffer/conv1.weight`, or Adam's `exp_avg/...` and `exp_avg_sq/...`.
        """
        if not self._parameters:
            raise UserError(
                f"{self._folder}: a step needs the parameters before it: Recorder(folder, inputs, parameters)"
            )
        after = _arrays(parameters)
        arrays = {f"before/{name}": array for name, array in self._parameters.items()} | self._pending
        arrays |= {f"after/{name}": array for name, array in after.items()}
        arrays |= {f"memory before/{name}": array for name, array in self._memory.items()}
        self._memory = _arrays(memory or {})
        arrays |= {f"memory/{name}": array for name, array in self._memory.items()}
        if rate is not None:
            arrays["rate"] = np.array(number(rate))
        self._steps += 1
        arrays["count"] = np.array(self._done + self._steps)
        self._write(f"steps/{self._steps:04d}", arrays)
        self._parameters, self._pending = after, {}

    def results(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Keeps detections as COCO's results files have them (gate 5): entries with image_id, category_id and score."""
        write_json(self._folder / "results.json", list(entries))

    def panoptic_results(self, path: str | Path) -> None:
        """Keeps COCO's panoptic results (gate 5): a JSON file, and beside it the PNGs in the folder of its name."""
        path = existing_file(Path(path), "panoptic results")
        pngs = path.with_suffix("")
        if not pngs.is_dir():
            raise UserError(f"{path}: its PNGs are to lie in the folder {pngs}, which is not there")
        if path.resolve() == (self._folder / "results.json").resolve():
            return  # they were written into the dump
        shutil.rmtree(self._folder / "results", ignore_errors=True)
        shutil.copytree(pngs, self._folder / "results")
        with atomic_path(self._folder / "results.json") as temporary:
            shutil.copyfile(path, temporary)

    def watches(self, path: str) -> bool:
        return bool(path)

    def entering(self, path: str, kind: str, value: Any) -> None:
        """Nothing is kept of what a module is given."""

    def leaving(self, path: str, kind: str, value: Any) -> None:
        """Keeps what a module answers; one that answers with no array is passed over."""
        if next(arrays_in(value), None) is not None:
            self.layer(path, value, kind)

    def _clear(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for name in (FACTS, *_OWN, *(f"image{suffix}" for suffix in IMAGE_SUFFIXES)):
            (self._folder / name).unlink(missing_ok=True)
        for name in ("steps", "results"):
            shutil.rmtree(self._folder / name, ignore_errors=True)

    def _write(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        if arrays:
            with atomic_path(self._folder / f"{name}.npz") as path:
                Archive(path).add(arrays)


def as_numpy(array: Any) -> np.ndarray:
    """A copy of an array of PyTorch, Jittor, MindSpore, TensorFlow, JAX or NumPy, or of a number."""
    if hasattr(array, "asnumpy"):  # MindSpore
        return np.array(array.asnumpy())
    if hasattr(array, "detach"):  # PyTorch, which has no NumPy type for half of a float's bits; Jittor has no `cpu`
        array = array.detach()
        array = array.cpu() if hasattr(array, "cpu") else array
        array = array.float() if "bfloat16" in str(array.dtype) else array
    return np.array(array.numpy() if hasattr(array, "numpy") else array)


def number(value: Any) -> float:
    """A number, or an array of one."""
    return float(as_numpy(value).reshape(-1).item())


def _arrays(given: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name: as_numpy(array) for name, array in given.items()}
