"""Pairs of arrays become findings, by tolerances that were measured."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from benchmarks.parity.causes import usual_causes
from benchmarks.parity.difference import difference, holds
from benchmarks.parity.finding import Difference, Finding, Mode
from benchmarks.parity.majority import Departures
from benchmarks.parity.pattern import Pattern, pattern
from benchmarks.parity.sensitivity import Sensitivity, plant
from benchmarks.parity.tolerances import Allowed, Tolerances


@dataclass
class Judge:
    """Holds a wing's arrays against the reference's.

    tolerances: what was measured of the reference. departures: where the arrays that fail are kept, if they are to be.
    sensitivity: how many faults are found that are planted in the arrays that passed; those of gate 1 are planted while
        the network runs.
    explains: whether it looks for the pattern of what departs, which takes longer than to see that it does.
    """

    tolerances: Tolerances
    departures: Departures | None = None
    sensitivity: Sensitivity = field(default_factory=Sensitivity)
    explains: bool = True

    def __call__(
        self,
        gate: int,
        name: str,
        kind: str,
        reference: np.ndarray | None,
        other: np.ndarray | None,
        mode: Mode = "accumulated",
        step: int | None = None,
        floor: tuple[float, float] = (0.0, 0.0),
        key: str | None = None,
    ) -> Finding:
        """The finding of one array; None stands for an array that one of the two does not have.

        floor: what is allowed of `largest` and `frobenius` in any case.
        key: under which the tolerance was measured; that of the gate, mode, step and name where None.
        """
        identity = {"gate": gate, "name": name, "kind": kind, "mode": mode, "step": step}
        fail = partial(self._fail, identity, reference, other)
        if reference is None or other is None:
            whose = "the reference has it and this has not" if other is None else "the reference has nothing like it"
            return fail(Pattern("missing", whose))
        reference, other = np.asarray(reference), np.asarray(other)
        allowed = self.tolerances.allowed(key or Tolerances.key(gate, name, mode, step), floor)
        if reference.shape != other.shape:
            if not allowed.can_tell:
                return Finding(**identity, verdict="cannot tell", detail="the reference's own number of rows changes")
            return fail(Pattern("another shape", f"{other.shape} instead of {reference.shape}"))
        found = difference(reference, other, allowed.tolerance.largest, allowed.scale)
        facts = {"difference": found, "tolerance": allowed.tolerance, "scale_of": allowed.scale_of}
        if not allowed.can_tell and np.isfinite(found.largest):
            return Finding(**identity, **facts, verdict="passed" if found.largest == 0 else "cannot tell")
        if holds(found, allowed.tolerance):
            if gate != 1:
                self._plant(gate, reference, other, allowed)
            return Finding(**identity, **facts, verdict="passed")
        return fail(pattern(reference, other) if self.explains else Pattern("", ""), found, allowed)

    def _plant(self, gate: int, reference: np.ndarray, other: np.ndarray, allowed: Allowed) -> None:
        faulty = plant(other, allowed)
        if faulty is not None:
            found = difference(reference, faulty, 0.0, allowed.scale)
            self.sensitivity.count(gate, not holds(found, allowed.tolerance))

    def in_short(self) -> "Judge":
        """A judge by the same tolerances who keeps and explains nothing."""
        return Judge(self.tolerances, explains=False)

    def _fail(
        self,
        identity: dict[str, Any],
        reference: np.ndarray | None,
        other: np.ndarray | None,
        departure: Pattern,
        found: Difference | None = None,
        allowed: Allowed | None = None,
    ) -> Finding:
        """The finding of an array that departs, which is kept where departures are; identity: what names it."""
        causes = usual_causes(departure.name, identity["kind"], identity["name"])
        facts = {"pattern": departure.name, "detail": departure.detail, "difference": found}
        facts |= dict(zip(("usual_cause", "second_cause"), causes, strict=False))
        if allowed is not None:
            facts |= {"tolerance": allowed.tolerance, "scale_of": allowed.scale_of}
        finding = Finding(**identity, **facts, verdict="failed")
        if self.departures is not None:
            self.departures.keep(finding, reference, other)
        return finding
