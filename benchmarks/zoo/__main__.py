"""Rates published weights in the three frameworks, and sets the figures beside those that their authors give.

Every file in the folder whose name is that of a published one is rated by the frameworks' own commands; others are
named and counted. A row that is finished in OUT is not rated again. A file that cannot be read gives a line, and the
others go on; the exit code is 2 then. OUT gets zoo.json.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.frameworks import FRAMEWORKS, chosen_frameworks
from benchmarks.tables import Table, about_this_run
from benchmarks.zoo.page import make_page
from benchmarks.zoo.published import Published, in_words, known_weights
from benchmarks.zoo.rating import Zoo, read_rows
from common.errors import UserError, run_command
from common.files import atomic_path
from common.models import load_settings
from weights_convert import open_weights

EXAMPLES = """
examples:
  python -m benchmarks.zoo weights --data datasets/coco --output zoo
  python -m benchmarks.zoo weights --data datasets/coco --frameworks torch --output zoo
  python -m benchmarks.zoo --page docs/zoo.md --output zoo
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.zoo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EXAMPLES.strip(),
    )
    add = parser.add_argument
    add("weights", nargs="?", type=Path, metavar="WEIGHTS_FOLDER", help="folder of the published files")
    add("--data", type=Path, metavar="COCO", help="folder of the data set to rate on")
    add("--output", type=Path, default=Path("zoo_output"), metavar="OUT", help="default: %(default)s")
    add("--frameworks", type=chosen_frameworks, default=FRAMEWORKS, metavar="A,B", help="default: all three")
    add("--known", type=Path, action="append", default=[], metavar="FILE.yaml", help="further files, listed alike")
    add("--page", type=Path, metavar="FILE.md", help="write the page with the figures of OUT here, and rate nothing")
    arguments = parser.parse_args()
    known = known_weights(arguments.known)
    if arguments.page:
        with atomic_path(arguments.page) as path:
            path.write_text(make_page(known, read_rows(arguments.output)))
        return
    if arguments.weights is None or arguments.data is None:
        raise UserError("give WEIGHTS_FOLDER and --data COCO, or --page FILE.md")
    entries = _find_known(arguments.weights, known)
    zoo = Zoo(arguments.weights, arguments.data, arguments.output)
    faults = _rate_all(zoo, entries, arguments.frameworks)
    rows = [(entry, row) for entry in entries for row in _rows_of(zoo, entry, arguments.frameworks)]
    table = make_table(rows, str(arguments.data))
    print(f"{table.markdown()}\n\nwritten: {table.write(arguments.output)}")
    if faults:
        print("\n".join(f"error: {fault}" for fault in faults), file=sys.stderr)
        sys.exit(2)


def _find_known(folder: Path, known: Sequence[Published]) -> list[Published]:
    """The known files in a folder; prints the names of the others, and how many they are."""
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder of weights")
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    by_name = {entry.file: entry for entry in known}
    unknown = [name for name in names if name not in by_name]
    for name in unknown:
        print(f"not known: {name}")
    print(f"{len(names) - len(unknown)} files are known, {len(unknown)} are not", flush=True)
    return [by_name[name] for name in names if name in by_name]


def _rate_all(zoo: Zoo, entries: Sequence[Published], frameworks: Sequence[str]) -> list[str]:
    """Rates each file in each framework where that is not done -> a line for each file or rating that failed."""
    faults = []
    for number, entry in enumerate(entries, start=1):
        missing = [name for name in frameworks if zoo.finished(entry, name) is None]
        try:
            if missing:
                # A file that cannot be read is told once, and not by each framework.
                open_weights(zoo.weights / entry.file, load_settings(entry.model))
        except UserError as error:
            faults.append(str(error))
            continue
        for framework in missing:
            print(f"{number} of {len(entries)}: {entry.file} in {framework} ...", flush=True)
            try:
                figures = zoo.rate(entry, framework)["figures"]
            except UserError as error:
                faults.append(f"{entry.file} in {framework}: {error}")
                continue
            print(f"  {in_words(figures, entry.figures)}; published {in_words(entry.figures)}", flush=True)
    return faults


def _rows_of(zoo: Zoo, entry: Published, frameworks: Sequence[str]) -> list[dict[str, Any]]:
    """The finished rows of a file."""
    return [row for framework in frameworks if (row := zoo.finished(entry, framework))]


def make_table(rows: Sequence[tuple[Published, dict[str, Any]]], data: str) -> Table:
    """The table `zoo`: a row for each file and framework, each figure beside the published one."""
    pairs = dict.fromkeys(
        (rated, name) for entry, _ in rows for rated, values in entry.figures.items() for name in values
    )
    columns = {"file": "file", "model": "model", "framework": "framework"}
    for rated, name in pairs:
        columns |= {f"published {rated} {name}": f"published {rated} {name}", f"{rated} {name}": f"{rated} {name}"}
    columns |= {"rated_on": "published on", "source": "source", "minutes": "minutes"}
    lines = []
    for entry, row in rows:
        line = {"file": entry.file, "model": entry.model, "framework": row["framework"], "minutes": row["minutes"]}
        for rated, name in pairs:
            line[f"published {rated} {name}"] = entry.figures.get(rated, {}).get(name)
            line[f"{rated} {name}"] = row["figures"].get(rated, {}).get(name)
        lines.append(line | {"rated_on": entry.rated_on, "source": entry.source})
    return Table("zoo", "Published weights", columns, lines, about_this_run(data=data))


if __name__ == "__main__":
    run_command(main)
