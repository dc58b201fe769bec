"""The report on the terminal: a table of the gates, the first fault of each framework, and what could not be told."""

from benchmarks.parity.faults import describe_contradictions, describe_other, find_faults
from benchmarks.parity.finding import GATES, Contradiction, Finding, Run
from benchmarks.parity.summary import GateSummary, compared, contradictions, summaries, untold
from benchmarks.parity.wording import FIGURES, figures, name_and_scale, name_and_step

MOST_CAUSES = 10  # told after the first
MOST_UNTOLD = 5  # named of a gate in which something cannot be told

_TITLES = ("gate", "framework", "compared", *(title for title, _ in FIGURES), "verdict", "worst")
_LEFT = ("gate", "framework", "verdict", "worst")  # aligned so; the rest are numbers


def table(runs: list[Run]) -> str:
    """The gates by framework, the place and usual cause of each departure, the reference's first, and the times."""
    gates = gate_table(runs)
    parts = [gates] if gates else []
    alone = contradictions(runs)
    parts += ["\n  ".join(describe_contradictions(runs[0].reference, alone))] if alone else []
    parts += [_describe_faults(run, alone) for run in runs if run.failures()]
    parts += [_describe_untold(run) for run in runs if untold(run)]
    notes = ("\n".join(describe_remarks(runs)), "\n".join(describe_not_run(runs)))
    parts += [note for note in (*notes, describe_sensitivity(runs), describe_times(runs)) if note]
    return "\n\n".join(parts)


def gate_table(runs: list[Run]) -> str:
    """A line for each gate and framework, with the figures of the worst array; empty where nothing was compared."""
    rows = [_cells(summary) for summary in summaries(runs)]
    return _align(rows) if rows else ""


def describe_remarks(runs: list[Run]) -> list[str]:
    """Remarks about values that passed, such as how many of the optimizer's steps could be compared."""
    return [
        f"{run.framework}: {found.name}: {found.detail}"
        for run in runs
        for found in run.findings
        if found.passed and found.detail
    ]


def describe_not_run(runs: list[Run]) -> list[str]:
    """A line for each framework that was not compared and why, and one for the gates."""
    lines = [f"not run: {run.framework}: {run.not_run}" for run in runs if run.not_run]
    empty = [run for run in compared(runs) if not run.not_run and not run.findings]
    lines += [f"not run: {run.framework}: nothing was compared" for run in empty]
    ran = {finding.gate for run in runs for finding in run.findings}
    left = [name for gate, name in GATES.items() if gate not in ran]
    return lines + ([f"not run: the gates of {', '.join(left)}"] if ran and left else [])


def describe_sensitivity(runs: list[Run]) -> str:
    """How many of the planted faults were found, by framework and gate; empty where none was planted."""
    parts = []
    for run in runs:
        found = [f"{GATES[gate]} {found} of {planted}" for gate, (found, planted) in run.sensitivity.items()]
        if found:
            parts.append(f"{run.framework} {', '.join(found)}")
    return f"planted faults found: {'; '.join(parts)}" if parts else ""


def describe_times(runs: list[Run]) -> str:
    """The seconds of each framework by what was done, and its memory; empty where nothing was timed."""
    parts = []
    for run in runs:
        taken = [f"{what} {seconds:.1f}" for what, seconds in run.seconds.items()]
        if run.peak_mib:
            taken.append(f"at most {run.peak_mib:.0f} MiB")
        if taken:
            parts.append(f"{run.framework} {', '.join(taken)}")
    return f"seconds: {'; '.join(parts)}" if parts else ""


def _cells(summary: GateSummary) -> list[str]:
    """The texts of a row, in the order of _TITLES."""
    worst = summary.worst
    count = str(len(summary.findings)) if worst else "-"
    name = name_and_scale(worst) if worst else ""
    return [summary.title, summary.run.framework, count, *figures(worst), _verdict(summary), name]


def _verdict(summary: GateSummary) -> str:
    """The verdict on a gate; what cannot be told stands beside what was."""
    failed, cannot_tell = summary.counts["failed"], summary.counts["cannot tell"]
    told = {"failed": f"FAILED {failed}", "passed": "passed"}.get(summary.verdict)
    if told is None:
        return summary.verdict
    return f"{told}, {cannot_tell} cannot be told" if cannot_tell else told


def _align(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(_TITLES, *rows, strict=True)]
    lines = []
    for row in [_TITLES, *rows]:
        cells = zip(_TITLES, row, widths, strict=True)
        aligned = [text.ljust(width) if title in _LEFT else text.rjust(width) for title, text, width in cells]
        lines.append("  ".join(aligned).rstrip())
    return "\n".join(lines)


def _describe_faults(run: Run, alone: list[Contradiction]) -> str:
    """A framework's faults: the first in full, the next causes in a line each, the number of the rest."""
    faults = find_faults(run, alone)
    lines = [faults.title, *(f"  {word}: {text}" for word, text in faults.facts)]
    if faults.others:
        lines.append("  other causes:")
        lines += [f"    {describe_other(found)}" for found in faults.others[:MOST_CAUSES]]
    if len(faults.others) > MOST_CAUSES:
        lines.append(f"    and {len(faults.others) - MOST_CAUSES} more")
    lines.append(f"  consequences: {faults.consequences}")
    return "\n".join(lines)


def _describe_untold(run: Run) -> str:
    """The arrays of a framework from whose difference nothing follows, a line a gate."""
    by_gate: dict[int, list[Finding]] = {}
    for finding in untold(run):
        by_gate.setdefault(finding.gate, []).append(finding)
    lines = [f"{run.framework}: cannot be told, because rounding may do as much:"]
    for gate, found in by_gate.items():
        named = ", ".join(name_and_step(finding) for finding in found[:MOST_UNTOLD])
        more = f" and {len(found) - MOST_UNTOLD} more" if len(found) > MOST_UNTOLD else ""
        lines.append(f"  gate {gate}, {GATES[gate]}: {named}{more}")
    return "\n".join(lines)
