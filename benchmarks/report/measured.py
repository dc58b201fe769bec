"""Reads the figures that stand in a folder: tables, the frameworks' ratings of one model, and verdicts of parity."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.frameworks import FRAMEWORKS
from benchmarks.tables import Table, read_table
from common.errors import UserError
from common.files import read_json
from common.results import Figures

# In this order they are shown; others come after them.
KNOWN_TABLES = ("accuracy", "zoo", "parity", "speed", "growth")
RATINGS = "metrics.json"
# What a rating has of each class alone, "PQ-sky", which would make a long table of a short one.
_OF_A_CLASS = "-"


@dataclass(frozen=True)
class Ratings:
    """The figures of one model's results in each framework.

    frameworks: those that have some. rows: the name of a figure and its value in each of them, None where nothing
    could be rated; what could be rated nowhere has no row. spread: the largest difference of a figure between two
    frameworks, in points; None for a single one.
    """

    frameworks: list[str]
    rows: list[tuple[str, list[float | None]]]
    spread: float | None


@dataclass(frozen=True)
class Verdicts:
    """What a comparison of a model came to, by gate and framework.

    page: the page of the comparison as an address relative to the folder; empty where there is none. passed: of all
    frameworks. frameworks: those that were compared. gates: the title of a gate, and of each framework the verdict and
    the counts of it ("passed 12, failed 0, cannot tell 0"). notes: what was not run, and where one departs first.
    """

    model: str
    page: str
    passed: bool
    frameworks: list[str]
    gates: list[tuple[str, list[tuple[str, str]]]]
    notes: list[str]


def read_tables(folder: Path) -> tuple[dict[str, Table], list[str]]:
    """The tables of a folder by their names, and a line for each JSON file beside them that is no table."""
    tables, faults = {}, []
    for path in sorted(folder.glob("*.json")):
        try:
            table = read_table(path)
        except UserError:
            faults.append(f"{path.name} is not a table of figures")
        else:
            tables[table.name] = table
    order = [*KNOWN_TABLES, *(name for name in tables if name not in KNOWN_TABLES)]
    return {name: tables[name] for name in order if name in tables}, faults


def read_ratings(folder: Path) -> Ratings | None:
    """The figures that `evaluate --output FOLDER/FRAMEWORK` has written; None where there are none."""
    found: dict[str, Figures] = {}
    for framework in FRAMEWORKS:
        path = folder / framework / RATINGS
        if path.is_file():
            found[framework] = read_json(path)
    if not found:
        return None
    names = dict.fromkeys(
        (rated, name) for figures in found.values() for rated, values in figures.items() for name in values
    )
    rows = [
        (f"{rated} {name}", [figures.get(rated, {}).get(name) for figures in found.values()])
        for rated, name in names
        if _OF_A_CLASS not in name
    ]
    rows = [(name, values) for name, values in rows if any(value is not None for value in values)]
    known = [[value for value in values if value is not None] for _, values in rows]
    spread = max((max(values) - min(values) for values in known), default=0.0)
    return Ratings(list(found), rows, spread if len(found) > 1 else None)


def read_verdicts(folder: Path) -> list[Verdicts]:
    """What `benchmarks.parity --output FOLDER/parity` has written, one a model."""
    return [_read_verdicts(path, folder) for path in sorted(folder.glob("parity/*/parity.json"))]


def _read_verdicts(path: Path, folder: Path) -> Verdicts:
    content = read_json(path)
    try:
        runs = [run for run in content["runs"] if run["framework"] != run["reference"]]
        titles = dict.fromkeys(title for run in runs for title in run["gates"])
        page = path.with_suffix(".html")
        return Verdicts(
            model=path.parent.name,
            page=page.relative_to(folder).as_posix() if page.is_file() else "",
            passed=content["passed"],
            frameworks=[run["framework"] for run in runs],
            gates=[(title, [_describe_gate(run["gates"].get(title)) for run in runs]) for title in titles],
            notes=[note for run in runs for note in _notes(run)],
        )
    except (KeyError, TypeError, AttributeError):
        raise UserError(f"{path}: not what benchmarks.parity writes") from None


def _describe_gate(gate: dict[str, Any] | None) -> tuple[str, str]:
    """A gate's verdict and its counts in words."""
    if gate is None:
        return "not run", ""
    return gate["verdict"], ", ".join(f"{count} {name}" for name, count in gate.items() if name != "verdict")


def _notes(run: dict[str, Any]) -> list[str]:
    """Why a framework was not run, or the first value in which it departs."""
    if run["not_run"]:
        return [f"{run['framework']} was not run: {run['not_run']}"]
    first = run["first"]
    return [f"{run['framework']} departs first at {first['name']} ({first['kind']})"] if first else []


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file with a JSON object each; a last one that is not whole, as a killed run leaves it, is none."""
    lines = []
    for number, text in enumerate(path.read_text().splitlines(), start=1):
        try:
            lines.append(json.loads(text))
        except ValueError:
            if number == 1:
                raise UserError(f"{path}: not a log of training: line 1 is no JSON") from None
            break
    return lines
