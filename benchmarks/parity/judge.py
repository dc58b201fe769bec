"""Pairs of arrays become findings, by tolerances that were measured."""

import json
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.parity.causes import usual_cause
from benchmarks.parity.difference import difference, holds, tolerance
from benchmarks.parity.finding import EQUAL, Difference, Finding, Mode, Tolerance
from benchmarks.parity.majority import Departures
from benchmarks.parity.pattern import Pattern, pattern
from common.files import atomic_path


class Tolerances:
    """The reference's error in float32 against itself in float64, by gate, mode and name.

    departures: where the arrays that exceed their tolerance are kept, if they are to be.
    """

    def __init__(self, measured: dict[str, Difference] | None = None, departures: Departures | None = None):
        self._measured, self.departures = measured or {}, departures

    @staticmethod
    def key(gate: int, name: str, mode: Mode = "accumulated", step: int | None = None) -> str:
        return f"{gate}/{mode}/{step}/{name}"

    def measure(self, key: str, exact: np.ndarray, rounded: np.ndarray) -> None:
        self._measured[key] = difference(rounded, exact, 0.0)

    def share(self, key: str, other: str) -> None:
        """Gives the error of one name to another name of the same array."""
        if key in self._measured:
            self._measured.setdefault(other, self._measured[key])

    def get(self, key: str) -> Difference:
        """The error that was measured under a key; none at all where nothing was."""
        return self._measured.get(key, EQUAL)

    def largest_alike(self, gate: int, name: str, step: int | None) -> tuple[float, float]:
        """The largest errors, `largest` and `frobenius`, of all values of the same last name, up to this step.

        A value near the kink of a ReLU falls on either side of it, and the gradients behind it leap. That meets one
        layer in one implementation and another in the next, so what it did somewhere may happen anywhere.
        """
        alike = [
            self._measured[key]
            for key in self._by_leaf.get((gate, _leaf(name)), ())
            if step is None or int(key.split("/")[2]) <= step
        ]
        return max((e.largest for e in alike), default=0.0), max((e.frobenius for e in alike), default=0.0)

    @cached_property
    def _by_leaf(self) -> dict[tuple[int, str], list[str]]:
        found: dict[tuple[int, str], list[str]] = {}
        for key in self._measured:
            gate, _, _, name = key.split("/", 3)
            found.setdefault((int(gate), _leaf(name)), []).append(key)
        return found

    def save(self, path: Path) -> None:
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps({key: asdict(value) for key, value in self._measured.items()}))

    @staticmethod
    def load(path: Path, departures: Departures | None = None) -> "Tolerances":
        measured = {key: Difference(**value) for key, value in json.loads(path.read_text()).items()}
        return Tolerances(measured, departures)


def _leaf(name: str) -> str:
    """A value's kind, wherever in the network it stands: "loss", " weight", "update bias", "momentum_buffer weight"."""
    if name.startswith("loss."):
        return "loss"
    what = "update" if name.startswith("update of ") else name.rpartition("/")[0]
    return f"{what} {name.rpartition('.')[2]}"


def judge(
    tolerances: Tolerances,
    gate: int,
    name: str,
    kind: str,
    reference: np.ndarray | None,
    other: np.ndarray | None,
    mode: Mode = "accumulated",
    step: int | None = None,
    floor: tuple[float, float] = (0.0, 0.0),
) -> Finding:
    """Holds an array against the reference's; None stands for an array that one of the two does not have.

    floor: what is allowed of `largest` and `frobenius`, whatever was measured.
    """
    identity = {"gate": gate, "name": name, "kind": kind, "mode": mode, "step": step}
    fail = partial(_make_failure, identity, tolerances.departures, reference, other)
    if reference is None or other is None:
        whose = "the reference has it and this has not" if other is None else "the reference has nothing like it"
        return fail(Pattern("missing", whose))
    reference, other = np.asarray(reference), np.asarray(other)
    if reference.shape != other.shape:
        detail = f"{other.shape} instead of {reference.shape}"
        return fail(Pattern("another shape", detail))
    allowed = tolerance(tolerances.get(Tolerances.key(gate, name, mode, step)))
    allowed = replace(allowed, largest=max(allowed.largest, floor[0]), frobenius=max(allowed.frobenius, floor[1]))
    found = difference(reference, other, allowed.largest)
    if holds(found, allowed):
        return Finding(**identity, verdict="passed", difference=found, tolerance=allowed)
    return fail(pattern(reference, other), found, allowed)


def _make_failure(
    identity: dict[str, Any],
    departures: Departures | None,
    reference: np.ndarray | None,
    other: np.ndarray | None,
    departure: Pattern,
    found: Difference | None = None,
    allowed: Tolerance | None = None,
) -> Finding:
    """The finding of an array that departs, which is kept where departures are; identity: the fields that name it."""
    cause = usual_cause(departure.name, identity["kind"], identity["name"])
    facts = {"pattern": departure.name, "detail": departure.detail, "usual_cause": cause}
    finding = Finding(**identity, verdict="failed", difference=found, tolerance=allowed, **facts)
    if departures is not None:
        departures.keep(finding, reference, other)
    return finding
