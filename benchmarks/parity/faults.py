"""What a framework's failures come to: the first in full, the other causes, and the number of consequences."""

from dataclasses import dataclass

from benchmarks.parity.finding import Contradiction, Finding, Run
from benchmarks.parity.wording import (
    describe_causes,
    describe_departure,
    describe_difference,
    describe_place,
    name_and_step,
    number,
)


@dataclass(frozen=True)
class Faults:
    """A framework's faults.

    allies: the frameworks that agree with this one where it departs first; it is not said to be the one at fault.
    others: the causes after the first, each array once, whatever the mode and the step.
    """

    run: Run
    first: Finding
    allies: list[str]
    others: list[Finding]
    consequences: int

    @property
    def title(self) -> str:
        """Who departs from whom, and where first."""
        run, place = self.run, describe_place(self.first)
        if self.allies:
            return (
                f"{run.framework}, as {' and '.join(self.allies)} does, differs from {run.reference} first at {place}"
            )
        return f"{run.framework} departs from {run.reference} first at {place}"

    @property
    def facts(self) -> list[tuple[str, str]]:
        """The first departure: how it departs, by how much, and its likely causes, one or two."""
        told = {"how": describe_departure(self.first), "by": describe_difference(self.first)}
        told |= dict(zip(("why", "or"), describe_causes(self.first), strict=False))
        return [(word, text) for word, text in told.items() if text]


def find_faults(run: Run, alone: list[Contradiction]) -> Faults | None:
    """A framework's faults; None where nothing failed. alone: the values at which the reference is alone."""
    first = run.first()
    if first is None:
        return None
    consequences = sum(finding.role == "consequence" for finding in run.failures())
    return Faults(run, first, _allies(run, first, alone), _other_causes(run, first), consequences)


def describe_contradictions(reference: str, alone: list[Contradiction]) -> list[str]:
    """The first value at which the reference is alone in full, and the number of the others; alone: one at least."""
    first = alone[0]
    lines = [
        f"{reference}, the reference, departs alone: first at {describe_place(first.finding)}",
        f"{' and '.join(first.frameworks)} agree with each other to {number(first.difference.largest)}, "
        f"where {number(first.tolerance.largest)} is allowed",
    ]
    return lines + ([f"and so at {len(alone) - 1} more"] if len(alone) > 1 else [])


def describe_other(finding: Finding) -> str:
    """One of the other causes, in a line."""
    return f"gate {finding.gate}  {name_and_step(finding)} ({finding.kind})  {describe_departure(finding)}"


def _allies(run: Run, first: Finding, alone: list[Contradiction]) -> list[str]:
    """The frameworks that agree with this one where it departs from the reference first."""
    place = (first.gate, first.name, first.mode, first.step)
    for contradiction in alone:
        found = contradiction.finding
        if run.framework in contradiction.frameworks and (found.gate, found.name, found.mode, found.step) == place:
            return [name for name in contradiction.frameworks if name != run.framework]
    return []


def _other_causes(run: Run, first: Finding) -> list[Finding]:
    causes: dict[tuple[int, str], Finding] = {}
    for found in run.failures():
        if found.role != "consequence":
            causes.setdefault((found.gate, found.name), found)
    causes.pop((first.gate, first.name), None)
    return list(causes.values())
