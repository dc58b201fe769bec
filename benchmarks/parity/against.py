"""Holds a port's dump against the reference's and names the first layer that departs."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.foreign.hypotheses.evidence import gather
from benchmarks.foreign.hypotheses.explain import explain
from benchmarks.parity.difference import difference
from benchmarks.parity.dumps import Dump, read_names
from benchmarks.parity.finding import Finding, Run
from benchmarks.parity.judge import Judge
from benchmarks.parity.majority import Departures
from benchmarks.parity.matching import Match, describe_matches, match, shorten
from benchmarks.parity.page import Heading, versions_of, write_page
from benchmarks.parity.pattern import pattern
from benchmarks.parity.report import write_json
from benchmarks.parity.summary import passed
from benchmarks.parity.table import table
from benchmarks.parity.tolerances import Tolerances
from common.errors import UserError

GATE = 1
SAME_INPUT = 1e-6  # relative; room for an input that has been through another precision


def run_against(reference: Path, other: Path, output: Path | None = None) -> int:
    """Prints how the arrays were matched and what was found -> the exit code."""
    with tempfile.TemporaryDirectory(prefix="parity-") as temporary:
        departures = Departures.create(Path(temporary) / "departures")
        run, matches = compare_dumps(reference, other, departures)
        print(describe_matches(matches), table([run]), sep="\n\n", flush=True)
        if output is not None:
            write_json(output / "against.json", [run])
            heading = Heading(f"{run.framework} against {run.reference}", versions=versions_of([]))
            write_page(output / "against.html", [run], heading, {run.framework: departures})
    return 0 if passed([run]) else 1


@dataclass(frozen=True)
class _Reference:
    rounded: Dump  # in float32
    exact: Dump  # in float64
    kinds: dict[str, str]


def compare_dumps(reference: Path, other: Path, departures: Departures | None = None) -> tuple[Run, list[Match]]:
    """Compares every layer, in the reference's order -> the findings, and how each layer was matched.

    The first layer that departs is the cause; those after it were given its values and are consequences. departures:
    where the arrays that depart are kept, if they are to be.
    """
    ours, theirs = Dump(Path(reference) / "outputs.npz"), Dump(Path(other) / "outputs.npz")
    whole = _Reference(ours, _exact(ours), read_names(Path(reference) / "kinds.json"))
    names = read_names(Path(other) / "map.json")
    _check_map(names, ours, theirs)
    _check_inputs(ours, theirs, names)
    matches = match(ours, theirs, names)
    run = Run(framework=_title(theirs), reference=_title(ours))
    missing = [found.name for found in matches if found.way == "missing"]
    if missing:
        detail = f"{theirs.path} has nothing for {shorten(missing)}"
        run.findings.append(Finding(GATE, missing[0], "layer", verdict="failed", pattern="missing", detail=detail))
    cause = ""
    for found in matches:
        if found.name and found.theirs:
            finding = _compared(found, whole, theirs, cause, departures)
            cause = cause or (finding.name if finding.failed else "")
            run.findings.append(finding)
    return run, matches


def _compared(found: Match, whole: _Reference, theirs: Dump, cause: str, departures: Departures | None) -> Finding:
    """cause: the layer before this one that departs, if there is one."""
    reference, other = whole.rounded.array(found.name), theirs.array(found.theirs)
    _check_finite(whole.rounded, found.name, reference)
    _check_finite(theirs, found.theirs, other, f"; before it {cause} departs" if cause else "")
    tolerances = Tolerances()
    tolerances.measure_rounding(Tolerances.key(GATE, found.name), whole.exact.array(found.name), reference)
    kind = whole.kinds.get(found.name, "layer")
    finding = Judge(tolerances, departures)(GATE, found.name, kind, reference, other)
    if finding.failed and not cause:
        dump = whole.rounded
        inputs = {name: dump.array(name) for name in dump.inputs}
        finding = explain(finding, gather(finding, reference, other, dump.layers, dump.array, inputs, {}))
    return replace(finding, role="consequence" if cause else "cause") if finding.failed else finding


def _title(dump: Dump) -> str:
    return dump.path.parent.resolve().name


def _exact(ours: Dump) -> Dump:
    """The reference in float64."""
    path = ours.path.with_name("float64.npz")
    if not path.is_file():
        raise UserError(f"{path} is not there: a reference has its layers in float64 too, for its own rounding error")
    exact = Dump(path)
    for name in ours.layers:
        if exact.shapes.get(name) != ours.shapes[name]:
            raise UserError(f"{path}: layer {name!r} of {ours.path.name} is not there in its shape {ours.shapes[name]}")
    return exact


def _check_map(names: dict[str, str], ours: Dump, theirs: Dump) -> None:
    path = theirs.path.with_name("map.json")
    seen = set()
    for given, name in names.items():
        if given not in theirs.shapes:
            raise UserError(f"{path}: {given!r} is not in {theirs.path}, which has {shorten(list(theirs.shapes))}")
        if name not in ours.shapes:
            raise UserError(f"{path}: {given!r} is said to be {name!r}, which is not in {ours.path}")
        if name in seen:
            raise UserError(f"{path}: two arrays are said to be {name!r}")
        seen.add(name)


def _check_inputs(ours: Dump, theirs: Dump, names: dict[str, str]) -> None:
    """Whether both networks were given the same; names: the map."""
    if not ours.inputs:
        raise UserError(f"{ours.path}: there is no array called image or input.NAME, so what was the network given?")
    translated = {name: given for given, name in names.items()}
    for name in ours.inputs:
        given = translated.get(name, name)
        if given not in theirs.shapes:
            raise UserError(f"{theirs.path}: there is no array called {name}, so what was the network given?")
        if theirs.shapes[given] != ours.shapes[name]:
            raise UserError(
                f"{theirs.path}: input {given!r} has the shape {theirs.shapes[given]}; "
                f"the reference's has {ours.shapes[name]}"
            )
        reference, other = ours.array(name), theirs.array(given)
        _check_finite(theirs, given, other)
        found = difference(reference, other, SAME_INPUT)
        if found.largest > SAME_INPUT:
            departure = pattern(reference, other)
            raise UserError(
                f"{theirs.path}: input {given!r} is not the reference's, from which it differs by up to "
                f"{found.largest:.2g} of the largest value ({departure.name}: {departure.detail}); "
                "inputs.npz has what it was given"
            )


def _check_finite(dump: Dump, name: str, array: np.ndarray, also: str = "") -> None:
    wrong = array.size - int(np.count_nonzero(np.isfinite(array)))
    if wrong:
        raise UserError(f"{dump.path}: {name!r} has {wrong} NaN or infinite values of {array.size}{also}")
