"""Choices that a training step makes from rounded numbers, such as the proposals of a two-stage model.

A score or an overlap that is rounded otherwise takes in one row and leaves out another, and whole rows of the losses
come and go with it; no tolerance for numbers would tell that from a fault. So a wing's own choice in the first step is
compared with the reference's by itself, and each step goes on with what the reference chose in it.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.parity.case import Arrays
from benchmarks.parity.finding import Finding
from benchmarks.parity.judge import Judge
from benchmarks.parity.tolerances import Tolerances
from common.array import Array, namespace
from common.files import atomic_path
from common.training.choices import Choice, Choose

GATE = 2
OTHERS = 0.02  # the share of a choice's rows that may be others
Pairs = dict[str, tuple[np.ndarray, np.ndarray]]  # the reference's array and the own one


class Choices:
    """The choices of the reference's steps, in a case's folder, and a wing's own choices in its first step.

    row_keys: by a choice's name the field that tells its rows apart; see `common.families.parity.Parity`.
    """

    def __init__(self, folder: Path, row_keys: Mapping[str, str]):
        self._folder, self._row_keys = folder, row_keys
        self._first: dict[str, tuple[list[Arrays], list[Arrays]]] = {}  # the reference's and the own ones, by name

    def recording(self, part: str) -> Choose:
        """Gives the reference a function that writes what a step chooses; the step goes on with it.

        part: the name of the computation, which differs from step to step.
        """

        def choose(name: str, own: Choice) -> Choice:
            arrays = {f"{image}.{field}": x for image, each in enumerate(_arrays(own)) for field, x in each.items()}
            with atomic_path(self._path(name, part)) as path:
                np.savez(path, **arrays)
            return own

        return choose

    def handing_over(self, part: str) -> Choose:
        """Gives a wing a function that hands each step the choice of the reference, and keeps the own one of the first.

        part: as in `recording`.
        """

        def choose(name: str, own: Choice) -> Choice:
            recorded = _read(self._path(name, part), own)
            self._first.setdefault(name, (_arrays(recorded), _arrays(own)))
            return recorded

        return choose

    def measure(self, tolerances: Tolerances) -> None:
        """Keeps the reference's error, after a perturbed run of it has been handed its choices."""
        for name in self._first:
            for array, (rounded, own) in self._pairs(name).items():
                tolerances.measure_perturbed(Tolerances.key(GATE, array), own, rounded)

    def findings(self, judge: Judge) -> list[Finding]:
        """The first step's choices against the reference's; none where the model chooses nothing."""
        findings = []
        for name in self._first:
            for array, (reference, own) in self._pairs(name).items():
                is_count = array == _count_name(name)
                floor = (OTHERS, OTHERS) if is_count else (0.0, 0.0)
                finding = judge(GATE, array, "choice", reference, own, floor=floor)
                if is_count and finding.passed and own != reference:
                    detail = f"{own[0]} of {reference[0]}; every step goes on with the reference's"
                    finding = replace(finding, detail=detail)
                findings.append(finding)
        return findings

    def _path(self, name: str, part: str) -> Path:
        return self._folder / f"choice_{name}_{part}.npz"

    def _pairs(self, name: str) -> Pairs:
        reference, own = self._first[name]
        if name in self._row_keys:
            return _pair_by_key(name, reference, own, self._row_keys[name])
        return {
            f"{name}.{field}": tuple(
                np.concatenate([np.atleast_1d(each[field]) for each in side]) for side in (reference, own)
            )
            for field in reference[0]
        }


def _pair_by_key(name: str, reference: list[Arrays], own: list[Arrays], key: str) -> Pairs:
    """Each field of the rows whose keys both choices have, image by image, and how many rows these are.

    reference, own: each image's arrays (rows, ...) by field.
    """
    pairs: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    common = 0
    for of_reference, of_own in zip(reference, own, strict=True):
        _, rows, partners = np.intersect1d(of_reference[key], of_own[key], return_indices=True)
        common += len(rows)
        for field in [field for field in of_reference if field != key]:
            pairs.setdefault(f"{name}.{field}", []).append((of_reference[field][rows], of_own[field][partners]))
    total = max(sum(len(each[key]) for each in side) for side in (reference, own))
    found = {field: tuple(map(np.concatenate, zip(*found, strict=True))) for field, found in pairs.items()}
    return found | {_count_name(name): (np.array([total]), np.array([common]))}


def _count_name(name: str) -> str:
    return f"number of equal {name}"


def _arrays(choice: Any) -> list[Arrays]:
    """A dataclass of arrays, or a list of these -> the arrays of each by field, in NumPy."""
    return [
        {field.name: _to_numpy(getattr(each, field.name)) for field in fields(each)}
        for each in (choice if isinstance(choice, list) else [choice])
    ]


def _read(path: Path, own: Choice) -> Choice:
    """A choice that was written, in the structure and the framework of `own`."""
    images = own if isinstance(own, list) else [own]
    with np.load(path) as stored:
        read = [
            replace(each, **{f.name: _as_in(stored[f"{image}.{f.name}"], getattr(each, f.name)) for f in fields(each)})
            for image, each in enumerate(images)
        ]
    return read if isinstance(own, list) else read[0]


def _to_numpy(array: Array) -> np.ndarray:
    return array if isinstance(array, np.ndarray) else namespace(array).to_numpy(array)


def _as_in(stored: np.ndarray, own: Array) -> Array:
    """A stored array as an array of the framework that has `own`."""
    return stored if isinstance(own, np.ndarray) else namespace(own).asarray(stored, like=own)
