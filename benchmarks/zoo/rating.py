"""Rates one file of weights in one framework by the framework's evaluate command, and keeps what came out as a file."""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.tables import about_this_run
from benchmarks.zoo.published import Published
from common.errors import UserError
from common.files import read_json, write_json


@dataclass(frozen=True)
class Zoo:
    """Where weights and data lie, and where the rows go: OUT/zoo/FILE/FRAMEWORK.json, each when it is finished."""

    weights: Path
    data: Path
    output: Path

    def row_path(self, entry: Published, framework: str) -> Path:
        """The file of a row."""
        return self.output / "zoo" / entry.file / f"{framework}.json"

    def finished(self, entry: Published, framework: str) -> dict[str, Any] | None:
        """The row of an earlier run; None where there is none, and refused where it is of other data."""
        path = self.row_path(entry, framework)
        if not path.is_file():
            return None
        row = read_json(path)
        if row["data"] != str(self.data.resolve()):
            raise UserError(f"{path}: rated on {row['data']}, not on {self.data.resolve()}; name another --output")
        return row

    def rate(self, entry: Published, framework: str) -> dict[str, Any]:
        """Rates the file in a framework and writes the row; raises a `UserError` with what the command says."""
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            words = [entry.model, "--data", self.data, "--weights", self.weights / entry.file, "--output", folder]
            words += ["--boundary"] if "boundary" in entry.figures else []
            done = run_quietly(f"{framework}_impl.evaluate", *words)
            if done.returncode:
                lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
                raise UserError(lines[-1].removeprefix("error: "))
            figures = read_json(Path(folder) / "metrics.json")
        row = {"file": entry.file, "framework": framework, "figures": figures, "data": str(self.data.resolve())}
        row |= {"minutes": (time.monotonic() - began) / 60, "about": about_this_run()}
        write_json(self.row_path(entry, framework), row)
        return row


def run_quietly(module: str, *words: object) -> subprocess.CompletedProcess:
    """Runs `python -m module` without showing its output; what it said of errors is kept."""
    command = [sys.executable, "-m", module, *map(str, words)]
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)


def read_rows(output: Path) -> list[dict[str, Any]]:
    """All finished rows of an output folder."""
    return [read_json(path) for path in sorted((output / "zoo").glob("*/*.json"))]
