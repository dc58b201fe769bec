"""A part's report, written after every finding: a part that is ended or breaks leaves the findings that it had."""

import json
import math
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.files import atomic_path


class Report:
    """Checks (a value and what is allowed), tables of rows, notes, errors, and `details`, which only the JSON has."""

    def __init__(self, path: Path):
        self._path = path
        self._began = time.monotonic()
        self.content: dict[str, Any] = {"checks": [], "tables": {}, "notes": [], "errors": [], "details": {}}
        self._write()

    def check(self, name: str, value: float, allowed: float) -> None:
        """Holds a distance against the largest that is allowed."""
        value = float(value)
        passed = math.isfinite(value) and value <= allowed
        shown = value if math.isfinite(value) else str(value)
        self.content["checks"].append({"name": name, "value": shown, "allowed": allowed, "passed": passed})
        self._write()

    def add(self, table: str, **row: Any) -> None:
        """A row of a table; its columns are the names."""
        self.content["tables"].setdefault(table, []).append(row)
        self.say(f"{table}: " + ", ".join(f"{name} {value}" for name, value in row.items()))
        self._write()

    def note(self, text: str) -> None:
        self.content["notes"].append(text)
        self.say(text)
        self._write()

    def keep(self, name: str, value: Any) -> None:
        """Figures that are too many for the page."""
        self.content["details"][name] = value
        self._write()

    @contextmanager
    def attempt(self, what: str) -> Iterator[None]:
        """Reports an error within the block, after which the part goes on."""
        try:
            yield
        except UserError as error:
            self.note(f"{what}: {error}")
        except Exception as error:
            traceback.print_exc()
            first_line = (str(error).strip().splitlines() or ["no message"])[0]
            self.content["errors"].append(f"{what}: {type(error).__name__}: {first_line[:300]}")
            self._write()

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._began:6.1f} s] {text}", file=sys.stderr, flush=True)

    def _write(self) -> None:
        with atomic_path(self._path) as path:
            path.write_text(json.dumps(self.content))
