"""`triseg parity --reference A --against B`: judges dumps, and tells it as text, JSON and a page."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.foreign.dump import read_dump
from benchmarks.foreign.judging import NEITHER, Judgement, judge_dumps
from benchmarks.foreign.measure import Measure
from benchmarks.foreign.verdict import describe_verdict, not_held, pairs_for_json
from benchmarks.parity.finding import TITLES
from benchmarks.parity.majority import Departures
from benchmarks.parity.page import Heading, versions_of, write_page
from benchmarks.parity.report import write_json
from benchmarks.parity.summary import passed
from common.packages import MissingPackage


def run_foreign(
    reference: Path,
    other: Path,
    output: Path | None = None,
    tolerance: float | None = None,
    gates: Sequence[int] = tuple(TITLES),
) -> int:
    """Prints what came of two dumps -> 0 where all passes that was judged, 1 where something departs."""
    with tempfile.TemporaryDirectory(prefix="parity-") as temporary:
        departures = Departures.create(Path(temporary) / "departures")
        ours, theirs = read_dump(reference), read_dump(other)
        judgement = judge_dumps(ours, theirs, Measure(ours, tolerance, departures), gates)
        told = describe_verdict(judgement.run, judgement.pairs, judgement.weights)
        print(told, *_not_judged(judgement), sep="\n", flush=True)
        if output is not None:
            _write(output, judgement, departures)
    return 0 if passed([judgement.run]) else 1


def _not_judged(judgement: Judgement) -> list[str]:
    """Lines about the gates that were not judged, after an empty one; those for which neither has anything in one."""
    neither = [TITLES[gate] for gate, why in judgement.not_judged.items() if why == NEITHER]
    lines = [f"not judged, as {why}: {TITLES[gate]}" for gate, why in judgement.not_judged.items() if why != NEITHER]
    lines += [f"not judged, as {NEITHER}: {', '.join(neither)}"] if neither else []
    return ["", *lines] if lines else []


def _write(output: Path, judgement: Judgement, departures: Departures) -> None:
    run = judgement.run
    more = {
        "not_judged": judgement.not_judged,
        "not_held": not_held(judgement.pairs, judgement.weights),
        "pairs": pairs_for_json(judgement.pairs),
    }
    write_json(output / "parity.json", [run], more)
    heading = Heading(f"{run.framework} against {run.reference}", versions=versions_of([]))
    try:
        write_page(output / "parity.html", [run], heading, {run.framework: departures})
    except MissingPackage as error:
        print(f"\nno page, {output / 'parity.json'} alone: {error}")
