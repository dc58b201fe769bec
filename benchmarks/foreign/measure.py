"""How far a right port's array may lie from the reference's: measured from a second run of it, or said by the user."""

from dataclasses import dataclass

import numpy as np

from benchmarks.foreign.arrays import NamedArrays
from benchmarks.foreign.dump import Dump
from benchmarks.parity.judge import Judge
from benchmarks.parity.majority import Departures
from benchmarks.parity.tolerances import Tolerances
from common.errors import UserError


@dataclass(frozen=True)
class Measure:
    """What the arrays of a dump are judged by.

    reference: whose run in float64, or else whose second run, is the measure. tolerance: what is allowed in any case,
    relative to the reference's scale; with it no second run is needed. departures: where arrays that depart are kept.
    """

    reference: Dump
    tolerance: float | None = None
    departures: Departures | None = None

    @property
    def runs(self) -> list[Dump]:
        """The runs of the reference that tell its error: in float64, and a second one in float32."""
        return [run for run in (self.reference.exact, self.reference.again) if run is not None]

    @property
    def floor(self) -> tuple[float, float]:
        """What is allowed of `largest` and `frobenius` in any case."""
        return (self.tolerance or 0.0,) * 2

    def check(self, part: str, ours: NamedArrays) -> None:
        """Refuses what nothing measures: arrays that no other run has, where no tolerance is given.

        part: the property of a dump that has the arrays, "layers".
        """
        if self.tolerance is not None:
            return
        others = [getattr(run, part) for run in self.runs]
        if not any(map(len, others)):
            raise UserError(
                f"{self.reference.folder}: its {part} are there once, and nothing says how far a port may lie from "
                "them: record the run in float64 too, in its folder float64, or a second run of it, in its folder "
                "again; or give --tolerance, such as 1e-4"
            )
        for other in others:
            missing = next((name for name in ours.names if other.shapes.get(name) != ours.shapes[name]), None)
            if len(other) and missing is not None:
                raise UserError(f"{other.source}: {missing!r} is not there in its shape {ours.shapes[missing]}")
        self._check_that_runs_differ(part, ours)

    def _check_that_runs_differ(self, part: str, ours: NamedArrays) -> None:
        """A second run that is the first to the last bit has measured nothing."""
        again = self.reference.again
        if self.reference.exact is not None or again is None:
            return
        other = getattr(again, part)
        if all(np.array_equal(ours.array(name), other.array(name)) for name in ours.names):
            raise UserError(
                f"{again.folder}: its {part} are those of {self.reference.folder} to the last bit and measure "
                "nothing: run it with another number of threads or in another order, or give --tolerance, such as 1e-4"
            )

    def judge(
        self,
        gate: int,
        name: str,
        reference: np.ndarray,
        others: list[NamedArrays],
        sum_of: tuple[str, np.ndarray] | None = None,
        step: int | None = None,
    ) -> Judge:
        """A judge of one array. others: the same arrays of the runs that measure it."""
        tolerances = Tolerances()
        key = Tolerances.key(gate, name, step=step)
        for arrays in others:
            if arrays.shapes.get(name) == reference.shape:
                tolerances.measure_rounding(key, arrays.array(name), reference, sum_of)
        return Judge(tolerances, self.departures)
