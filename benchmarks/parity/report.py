"""Reports the findings: a table that names the first fault, JSON for programs, and a page of HTML."""

import json
import math
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.parity.causes import usual_cause
from benchmarks.parity.finding import GATES, Contradiction, Finding, Mode, Run
from benchmarks.parity.pattern import PATTERNS
from common.files import atomic_path

MOST_CAUSES = 10  # told after the first

_COLUMNS = (  # (title, meaning)
    ("gate", "which values were compared"),
    ("framework", ""),
    ("compared", "how many arrays"),
    ("largest", "the largest difference of an element, relative to the largest of the reference"),
    ("measured", "the reference's own error: its float32 against its float64"),
    ("allowed", "the tolerance that follows from it"),
    ("frobenius", "the norm of the difference, relative to the reference's norm"),
    ("measured", "the reference's own error: its float32 against its float64"),
    ("allowed", "the tolerance that follows from it"),
    ("cosine", "between the two arrays"),
    ("within", "the share of the elements within the tolerance"),
    ("verdict", ""),
    ("worst", "the array that the figures are of: it exceeds its tolerance most, or comes nearest to it"),
)
_FIGURES = _COLUMNS[3:11]
_LEFT = ("gate", "framework", "verdict", "worst")  # aligned so; the rest are numbers


@dataclass(frozen=True)
class _Row:
    """One gate of one framework; gate 1 in each of its modes."""

    gate: int
    mode: Mode
    run: Run

    @property
    def findings(self) -> list[Finding]:
        return [finding for finding in self.run.findings_of(self.gate) if finding.mode == self.mode]

    @property
    def title(self) -> str:
        return f"{self.gate} {GATES[self.gate]}" + (", injected" if self.mode == "injected" else "")

    @property
    def verdict(self) -> str:
        failed = sum(finding.failed for finding in self.findings)
        if failed:
            return f"FAILED {failed}"
        return "passed" if self.findings else "not run"

    @property
    def worst(self) -> Finding | None:
        return max(self.findings, key=lambda finding: (finding.failed, _excess(finding)), default=None)

    def cells(self) -> list[str]:
        """The texts of _COLUMNS."""
        worst = self.worst
        compared = str(len(self.findings)) if worst else "-"
        name = _name_and_step(worst) if worst else ""
        return [self.title, self.run.framework, compared, *_figures(worst), self.verdict, name]


def passed(runs: list[Run]) -> bool:
    """Whether something was compared and nothing departs; neither the reference nor what was not run counts."""
    ran = [run for run in _compared(runs) if not run.not_run]
    return bool(ran) and all(run.findings for run in ran) and not any(run.failures() for run in runs)


def table(runs: list[Run]) -> str:
    """The gates by framework, the place and usual cause of each departure, the reference's first, and the times."""
    rows = [row.cells() for row in _rows(runs)]
    parts = [_aligned(rows)] if rows else []
    alone = _contradictions(runs)
    parts += [_describe_contradictions(runs[0].reference, alone)] if alone else []
    parts += [_describe_faults(run, alone) for run in runs if run.failures()]
    parts += [line for line in (_remarks(runs), _not_run(runs), _times(runs)) if line]
    return "\n\n".join(parts)


def write_json(path: Path, runs: list[Run]) -> None:
    """Everything that was found; an infinity or NaN, which JSON has not, is the string "inf" or "nan"."""
    found = [
        {
            "framework": run.framework,
            "reference": run.reference,
            "not_run": run.not_run,
            "passed": passed([run]) if run.findings else None,
            "gates": {row.title: row.verdict for row in _rows([run])},
            "first": (first := run.first()) and asdict(first),
            "seconds": run.seconds,
            "peak_mib": run.peak_mib,
            "findings": [asdict(finding) for finding in run.findings],
        }
        for run in runs
    ]
    alone = [asdict(contradiction) for contradiction in _contradictions(runs)]
    whole = {"passed": passed(runs), "reference_departs": alone, "runs": found}
    text = json.dumps(_strict(whole), indent=1, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def write_html(path: Path, runs: list[Run]) -> None:
    """One page that needs nothing else: the gates by framework, below them each framework's findings."""
    compared = _compared(runs)
    header = ["gate", *(f"{escape(run.framework)} against {escape(run.reference)}" for run in compared)]
    titles = {(row.gate, row.mode): row.title for row in _rows(runs)}
    summary = [[escape(title), *(_summary_cell(_Row(*at, run)) for run in compared)] for at, title in titles.items()]
    verdict = "passed" if passed(runs) else "not passed"
    alone = _contradictions(runs)
    notes = [*_not_run(runs).splitlines(), _times(runs)]
    body = [
        f"<h1>Parity: {verdict}</h1>",
        *([f"<pre>{escape(_describe_contradictions(runs[0].reference, alone))}</pre>"] if alone else []),
        _html_table(header, summary),
        *(f"<p>{escape(line)}</p>" for line in notes if line),
        *(_section(run, alone) for run in runs if run.findings),
    ]
    page = f"<!doctype html>\n<html lang='en'>\n<meta charset='utf-8'>\n<title>Parity</title>\n{_STYLE}\n"
    with atomic_path(path) as temporary:
        temporary.write_text(page + "\n".join(body) + "\n</html>\n", encoding="utf-8")


def _compared(runs: list[Run]) -> list[Run]:
    """The runs without the reference's own, which has times alone."""
    return [run for run in runs if run.framework != run.reference or run.findings or run.not_run]


def _contradictions(runs: list[Run]) -> list[Contradiction]:
    """The values at which the reference is alone."""
    return [contradiction for run in runs for contradiction in run.contradictions]


def _rows(runs: list[Run]) -> list[_Row]:
    """The gates that some framework was put to, for every framework."""
    gates = {(finding.gate, finding.mode) for run in runs for finding in run.findings}
    return [_Row(gate, mode, run) for gate, mode in sorted(gates) for run in _compared(runs)]


def _excess(finding: Finding) -> float:
    """A finding's difference as a multiple of its tolerance, by the worse of the two measures."""
    found, allowed = finding.difference, finding.tolerance
    if found is None or allowed is None:
        return 0.0 if finding.passed else math.inf
    pairs = ((found.largest, allowed.largest), (found.frobenius, allowed.frobenius))
    return max(error / limit if limit > 0.0 else math.inf for error, limit in pairs)


def _figures(finding: Finding | None) -> list[str]:
    """The columns from `largest` to `within`."""
    if finding is None or finding.difference is None:
        return ["-"] * 8
    found, allowed = finding.difference, finding.tolerance
    largest = ["-", "-"] if allowed is None else [_number(allowed.measured_largest), _number(allowed.largest)]
    frobenius = ["-", "-"] if allowed is None else [_number(allowed.measured_frobenius), _number(allowed.frobenius)]
    # Rounded down: 100% is kept for what lies within the tolerance to the last element.
    within = f"{math.floor(found.within * 1e4) / 1e4:.2%}"
    return [_number(found.largest), *largest, _number(found.frobenius), *frobenius, f"{found.cosine:.6f}", within]


def _number(value: float) -> str:
    return "0" if value == 0 else f"{value:.2e}"


def _name_and_step(finding: Finding) -> str:
    return finding.name if finding.step is None else f"{finding.name}, step {finding.step}"


def _describe_departure(finding: Finding) -> str:
    return ": ".join(text for text in (finding.pattern, finding.detail) if text) or "departs"


def _cause(finding: Finding) -> str:
    return finding.usual_cause or usual_cause(finding.pattern, finding.kind, finding.name)


def _aligned(rows: list[list[str]]) -> str:
    titles = [title for title, _ in _COLUMNS]
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    lines = []
    for row in [titles, *rows]:
        cells = zip(titles, row, widths, strict=True)
        aligned = [text.ljust(width) if title in _LEFT else text.rjust(width) for title, text, width in cells]
        lines.append("  ".join(aligned).rstrip())
    return "\n".join(lines)


def _describe_contradictions(reference: str, alone: list[Contradiction]) -> str:
    """The first value at which the reference is alone in full, and the number of the others that were looked at."""
    first = alone[0]
    lines = [
        f"{reference}, the reference, departs alone: first at {_describe_place(first.finding)}",
        f"  {' and '.join(first.frameworks)} agree with each other to {_number(first.difference.largest)}, "
        f"where {_number(first.tolerance.largest)} is allowed",
    ]
    lines += [f"  and so at {len(alone) - 1} more"] if len(alone) > 1 else []
    return "\n".join(lines)


def _describe_place(finding: Finding) -> str:
    injected = ", injected" if finding.mode == "injected" else ""
    return f"{_name_and_step(finding)} ({finding.kind}; gate {finding.gate}, {GATES[finding.gate]}{injected})"


def _allies(run: Run, alone: list[Contradiction]) -> list[str]:
    """The frameworks that agree with this one where it departs from the reference first."""
    first = run.first()
    place = (first.gate, first.name, first.mode, first.step)
    for contradiction in alone:
        found = contradiction.finding
        if run.framework in contradiction.frameworks and (found.gate, found.name, found.mode, found.step) == place:
            return [name for name in contradiction.frameworks if name != run.framework]
    return []


def _describe_faults(run: Run, alone: list[Contradiction]) -> str:
    """A framework's faults: the first in full, the next causes in a line each, the number of the rest.

    alone: where the reference is; a framework that departs there first is not said to be the one at fault.
    """
    first, allies = run.first(), _allies(run, alone)
    differs = f"as {' and '.join(allies)} does, differs" if allies else "departs"
    lines = [
        f"{run.framework}{',' if allies else ''} {differs} from {run.reference} first at {_describe_place(first)}",
        f"  how: {_describe_departure(first)}",
    ]
    if first.difference is not None and first.tolerance is not None:
        lines.append(f"  by: {_number(first.difference.largest)}, where {_number(first.tolerance.largest)} is allowed")
    lines.append(f"  why: {_cause(first)}")
    more = _further_causes(run)
    if more:
        lines.append("  other causes:")
        for found in more[:MOST_CAUSES]:
            place = f"gate {found.gate}  {_name_and_step(found)} ({found.kind})"
            lines.append(f"    {place}  {_describe_departure(found)}")
    if len(more) > MOST_CAUSES:
        lines.append(f"    and {len(more) - MOST_CAUSES} more")
    consequences = sum(found.role == "consequence" for found in run.failures())
    lines.append(f"  consequences: {consequences}")
    return "\n".join(lines)


def _further_causes(run: Run) -> list[Finding]:
    """The other causes, each array once, whatever the mode and the step."""
    causes: dict[tuple[int, str], Finding] = {}
    for found in run.failures():
        if found.role != "consequence":
            causes.setdefault((found.gate, found.name), found)
    first = run.first()
    causes.pop((first.gate, first.name), None)
    return list(causes.values())


def _remarks(runs: list[Run]) -> str:
    """Remarks about values that passed, such as how many of the optimizer's steps could be compared."""
    lines = [
        f"{run.framework}: {found.name}: {found.detail}"
        for run in runs
        for found in run.findings
        if found.passed and found.detail
    ]
    return "\n".join(lines)


def _not_run(runs: list[Run]) -> str:
    lines = [f"not run: {run.framework}: {run.not_run}" for run in runs if run.not_run]
    empty = [run for run in _compared(runs) if not run.not_run and not run.findings]
    lines += [f"not run: {run.framework}: nothing was compared" for run in empty]
    ran = {finding.gate for run in runs for finding in run.findings}
    left = [name for gate, name in GATES.items() if gate not in ran]
    if ran and left:
        lines.append(f"not run: the gates of {', '.join(left)}")
    return "\n".join(lines)


def _times(runs: list[Run]) -> str:
    parts = []
    for run in runs:
        taken = [f"{what} {seconds:.1f}" for what, seconds in run.seconds.items()]
        if run.peak_mib:
            taken.append(f"at most {run.peak_mib:.0f} MiB")
        if taken:
            parts.append(f"{run.framework} {', '.join(taken)}")
    return f"seconds: {'; '.join(parts)}" if parts else ""


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


_STYLE = """<style>
body { font: 14px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 110em; padding: 0 1em; color: #222; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1em 0; font-variant-numeric: tabular-nums; }
th, td { border: 1px solid #ccc; padding: .25em .6em; text-align: left; vertical-align: top; }
th { background: #f2f2f2; }
small { color: #555; }
.passed { background: #e3f4e3; } .failed { background: #fadcd9; } .unrun { background: #eee; }
.cause { background: #fadcd9; } .consequence { background: #fdf1d8; }
pre { background: #f7f7f7; padding: .8em; white-space: pre-wrap; }
</style>"""


def _summary_cell(row: _Row) -> str:
    verdict, worst = row.verdict, row.worst
    style = {"passed": "passed", "not run": "unrun"}.get(verdict, "failed")
    text = f"<b>{verdict}</b>"
    if worst is not None:
        text += f" of {len(row.findings)}<br><small>{escape(_name_and_step(worst))}</small>"
        if worst.difference is not None and worst.tolerance is not None:
            largest, allowed = _number(worst.difference.largest), _number(worst.tolerance.largest)
            text += f"<br><small>{largest}, allowed {allowed}</small>"
    return f"<div class='{style}'>{text}</div>"


def _section(run: Run, alone: list[Contradiction]) -> str:
    """A framework's failures as in the table, then all that was compared."""
    title = f"<h2>{escape(run.framework)} against {escape(run.reference)}</h2>"
    faults = f"<pre>{escape(_describe_faults(run, alone))}</pre>" if run.failures() else ""
    header = ["gate", "mode", "name", "kind", *map(_titled, _FIGURES), "verdict", "how"]
    return f"{title}\n{faults}\n{_html_table(header, [_finding_cells(finding) for finding in run.findings])}"


def _titled(column: tuple[str, str]) -> str:
    title, meaning = column
    return f"<span title='{escape(meaning)}'>{title}</span>"


def _finding_cells(finding: Finding) -> list[str]:
    verdict = "passed" if finding.passed else finding.role or "departs"
    style = "passed" if finding.passed else finding.role or "failed"
    departure = "" if finding.passed else escape(_describe_departure(finding))
    if finding.failed:
        explained = ". ".join(text for text in (PATTERNS.get(finding.pattern, ""), _cause(finding)) if text)
        departure += f"<br><small>{escape(explained)}</small>"
    texts = [
        f"{finding.gate} {GATES[finding.gate]}",
        finding.mode,
        _name_and_step(finding),
        finding.kind,
        *_figures(finding),
    ]
    return [*map(escape, texts), f"<span class='{style}'>{escape(verdict)}</span>", departure]


def _html_table(header: list[str], rows: list[list[str]]) -> str:
    """header, rows: cells that are HTML already."""
    head = "".join(f"<th>{cell}</th>" for cell in header)
    lines = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class='wide'><table>\n<tr>{head}</tr>\n{lines}\n</table></div>"
