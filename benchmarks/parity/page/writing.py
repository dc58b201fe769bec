"""Writes the page: gathers what the template `page.html` shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.parity import wording
from benchmarks.parity.faults import Faults, describe_contradictions, describe_other, find_faults
from benchmarks.parity.finding import Contradiction, Finding, Run
from benchmarks.parity.majority import Departures
from benchmarks.parity.page.heading import Heading
from benchmarks.parity.page.pictures import Picture, draw_departures
from benchmarks.parity.page.plots import plot_depth, plot_losses
from benchmarks.parity.page.tree import Node, grow_tree, state_of
from benchmarks.parity.pattern import PATTERNS
from benchmarks.parity.summary import GateSummary, compared, contradictions, passed, summaries, untold
from benchmarks.parity.table import describe_not_run, describe_remarks, describe_sensitivity, describe_times
from common.files import atomic_path
from common.packages import import_package
from common.pages.templates import PURPOSE, open_template, require_templates

_ORDER = ("failed", "cannot tell", "passed")  # of a gate's rows


@dataclass(frozen=True)
class Section:
    """A framework's part of the page. first: where it departs first, if it does."""

    run: Run
    faults: Faults | None
    first: Finding | None
    pictures: list[Picture]
    tree: list[Node]
    untold: list[Finding]
    gates: list[tuple[GateSummary, list[Finding]]]  # each with its rows


def check_packages() -> None:
    """Raises an error that names the package, where one is missing that a page needs."""
    require_templates()
    import_package("matplotlib", "matplotlib", PURPOSE)


def write_page(
    path: Path, runs: list[Run], heading: Heading, departures: Mapping[str, Departures] | None = None
) -> None:
    """Writes the page of a comparison.

    runs: the reference's own first, where it has one. departures: the arrays that were kept, by framework; without
        them the page has no pictures.
    """
    check_packages()
    others, whole, alone = compared(runs), summaries(runs), contradictions(runs)
    kept = departures or {}
    notes = (*describe_remarks(runs), *describe_not_run(runs), describe_sensitivity(runs), describe_times(runs))
    names = {"wording": wording, "state_of": state_of, "describe_other": describe_other, "patterns": PATTERNS}
    page = open_template(Path(__file__).with_name("page.html"), **names).render(
        heading=heading,
        passed=passed(runs),
        reference=others[0].reference if others else "",
        alone=describe_contradictions(runs[0].reference, alone) if alone else [],
        runs=others,
        gates=[
            [gate for gate in whole if gate.title == title] for title in dict.fromkeys(gate.title for gate in whole)
        ],
        notes=[note for note in notes if note],
        depth=plot_depth([run for run in others if run.findings]),
        losses=plot_losses(runs),
        sections=[_section(run, alone, kept.get(run.framework)) for run in others if run.findings],
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _section(run: Run, alone: Sequence[Contradiction], departures: Departures | None) -> Section:
    return Section(
        run=run,
        faults=find_faults(run, list(alone)),
        first=run.first(),
        pictures=draw_departures(run, departures) if departures else [],
        tree=grow_tree(run),
        untold=untold(run),
        gates=[(gate, _rows(gate)) for gate in summaries([run])],
    )


def _rows(gate: GateSummary) -> list[Finding]:
    """A gate's findings, failures first and causes first among them."""
    return sorted(gate.findings, key=lambda found: (_ORDER.index(found.verdict), found.role == "consequence"))
