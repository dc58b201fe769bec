"""A table of measured figures, with what it was measured on: what benchmarks write, and what reports and pages read."""

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.machine import commit, describe_machine, package_version
from common.errors import UserError
from common.files import atomic_path

Value = str | float | int | bool | None

# Their versions decide what is measured.
_PACKAGES = ("torch", "jittor", "mindspore", "numpy")


@dataclass(frozen=True)
class Table:
    """One table of figures.

    name: what files and commands call it, "speed".
    title: its heading in a page.
    columns: key -> heading, in their order.
    rows: one dictionary a row; a key that a row lacks is an empty cell.
    about: what holds for all rows, in words: the date, the machine, versions, precision, what the timer includes.
    """

    name: str
    title: str
    columns: dict[str, str]
    rows: list[dict[str, Value]]
    about: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Writes FOLDER/NAME.json."""
        with atomic_path(folder / f"{self.name}.json") as path:
            path.write_text(json.dumps(asdict(self), indent=1))
        return folder / f"{self.name}.json"

    def markdown(self) -> str:
        """The table as a page of text has it, with `about` in a line under it."""
        heads = list(self.columns.values())
        lines = [_line(heads), _line(["---"] * len(heads))]
        lines += [_line([cell(row.get(key)) for key in self.columns]) for row in self.rows]
        if self.about:
            lines += ["", "; ".join(f"{key}: {text}" for key, text in self.about.items()) + "."]
        return "\n".join(lines)


def read_table(path: Path) -> Table:
    """A table that `Table.write` has written."""
    try:
        return Table(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: not a table of figures: {error}") from None


def about_this_run(**more: str) -> dict[str, str]:
    """The head of every table: date, commit, machine and versions, and whatever else the caller names."""
    versions = {package: package_version(package) for package in _PACKAGES}
    about = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit(),
        "machine": describe_machine(),
        "versions": ", ".join(f"{package} {number}" for package, number in versions.items() if number),
    }
    return {key: text for key, text in (about | more).items() if text}


def cell(value: Any) -> str:
    """A value as a table shows it: three digits that count, and nothing for None."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
