"""What the findings come to: a verdict for each gate of each framework, and one for all of them."""

import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from benchmarks.parity.finding import TITLES, Contradiction, Finding, Mode, Run, Verdict

GateVerdict = Verdict | Literal["not run"]


@dataclass(frozen=True)
class GateSummary:
    """One gate of one framework; gate 1 in each of its modes."""

    gate: int
    mode: Mode
    run: Run

    @cached_property
    def findings(self) -> list[Finding]:
        return [finding for finding in self.run.findings_of(self.gate) if finding.mode == self.mode]

    @property
    def title(self) -> str:
        return f"{self.gate} {TITLES[self.gate]}" + (", injected" if self.mode == "injected" else "")

    @cached_property
    def counts(self) -> dict[Verdict, int]:
        """The number of findings by verdict, in the order "passed", "failed", "cannot tell"."""
        found = Counter(finding.verdict for finding in self.findings)
        return {verdict: found[verdict] for verdict in get_args(Verdict)}

    @property
    def verdict(self) -> GateVerdict:
        """A gate in which nothing could be told has not passed."""
        found = [verdict for verdict in ("failed", "passed", "cannot tell") if self.counts[verdict]]
        return found[0] if found else "not run"

    @property
    def worst(self) -> Finding | None:
        """The finding that exceeds its tolerance most or comes nearest to it, if it can be told whether it does."""
        order = ("cannot tell", "passed", "failed")
        return max(self.findings, key=lambda found: (order.index(found.verdict), _excess(found)), default=None)


def summaries(runs: list[Run]) -> list[GateSummary]:
    """The gates that some framework was put to, for every framework."""
    gates = {(finding.gate, finding.mode) for run in runs for finding in run.findings}
    return [GateSummary(gate, mode, run) for gate, mode in sorted(gates) for run in compared(runs)]


def passed(runs: list[Run]) -> bool:
    """Whether something was compared, nothing departs, and something passed in each gate that was looked at.

    Neither the reference's own run nor a framework that was not run counts.
    """
    ran = [run for run in compared(runs) if not run.not_run]
    whole = [summary for summary in summaries(runs) if not summary.run.not_run]
    return bool(ran) and all(run.findings for run in ran) and all(summary.verdict == "passed" for summary in whole)


def compared(runs: list[Run]) -> list[Run]:
    """The runs without the reference's own, which has times alone."""
    return [run for run in runs if run.framework != run.reference or run.findings or run.not_run]


def contradictions(runs: list[Run]) -> list[Contradiction]:
    """The values at which the reference is alone."""
    return [contradiction for run in runs for contradiction in run.contradictions]


def untold(run: Run) -> list[Finding]:
    """The findings from whose difference nothing follows."""
    return [finding for finding in run.findings if finding.verdict == "cannot tell"]


def _excess(finding: Finding) -> float:
    """A finding's difference as a multiple of its tolerance, by the worse of the two measures."""
    found, allowed = finding.difference, finding.tolerance
    if found is None or allowed is None:
        return math.inf if finding.failed else 0.0
    pairs = ((found.largest, allowed.largest), (found.frobenius, allowed.frobenius))
    return max(error / limit if limit > 0.0 else math.inf for error, limit in pairs)
