"""`python -m benchmarks.renew OUT`: puts the tables that benchmarks have written into OUT into README.md and docs.

A table takes the place of what stands between two lines of a page:

    <!-- table: speed -->
    <!-- /table -->

Keys of columns behind the name choose columns and their order: `<!-- table: speed model task ms -->`. What OUT has no
table for stays as it is.
"""

import argparse
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from benchmarks.machine import ROOT
from benchmarks.report.measured import read_tables
from benchmarks.tables import Table
from common.errors import UserError, run_command
from common.files import atomic_path

EXAMPLES = """
examples:
  python -m benchmarks.renew benchmark_output
  python -m benchmarks.renew benchmark_output docs/speed.md
"""
_BEGIN = re.compile(r"<!-- table: ([\w -]+) -->\s*")
_END = "<!-- /table -->"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.renew",
        description=__doc__.partition(": ")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EXAMPLES.strip(),
    )
    parser.add_argument("folder", type=Path, metavar="OUT", help="the folder of the tables")
    parser.add_argument("pages", type=Path, nargs="*", metavar="PAGE", help="default: README.md and docs/*.md")
    arguments = parser.parse_args()
    tables, _ = read_tables(arguments.folder)
    if not tables:
        raise UserError(f"{arguments.folder}: has no table; `make benchmarks` writes some")
    for page in arguments.pages or [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        renew_page(page, tables)


def renew_page(path: Path, tables: Mapping[str, Table]) -> None:
    """Puts the tables into a page; says what it renewed."""
    try:
        before = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    after, renewed = renew(before, tables, str(path))
    if after != before:
        with atomic_path(path) as temporary:
            temporary.write_text(after, encoding="utf-8")
    if renewed:
        print(f"{path}: {', '.join(renewed)}")


def renew(text: str, tables: Mapping[str, Table], origin: str) -> tuple[str, list[str]]:
    """The text of a page with the tables in their places, and the names of those that it has; origin: its name."""
    kept, renewed = [], []
    lines = iter(enumerate(text.splitlines(keepends=True), start=1))
    for number, line in lines:
        kept.append(line)
        begin = _BEGIN.fullmatch(line)
        if not begin:
            continue
        name, *columns = begin[1].split()
        old = []
        for _, line in lines:
            if line.strip() == _END:
                break
            old.append(line)
        else:
            raise UserError(f"{origin}: line {number}: the table {name} has no end, {_END}")
        if name in tables:
            kept.append(f"\n{_choose(tables[name], columns, f'{origin}: line {number}').markdown()}\n\n")
            renewed.append(name)
        else:
            kept += old
        kept.append(line)
    return "".join(kept), renewed


def _choose(table: Table, columns: list[str], place: str) -> Table:
    """The table with these columns alone, all of them where none is named."""
    unknown = [key for key in columns if key not in table.columns]
    if unknown:
        raise UserError(f"{place}: the table {table.name} has no column {unknown[0]}: {', '.join(table.columns)}")
    return replace(table, columns={key: table.columns[key] for key in columns or table.columns})


if __name__ == "__main__":
    run_command(main)
