"""Writes the page: gathers what the template `page.html` shows of a folder."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.machine import describe_machine
from benchmarks.report.albums import Album, make_album
from benchmarks.report.costs import ModelBars, growth_plots, speed_bars
from benchmarks.report.losses import TOTAL, Training, read_trainings
from benchmarks.report.measured import Ratings, Verdicts, read_ratings, read_tables, read_verdicts
from benchmarks.report.plots import Plot, draw_lines
from benchmarks.report.scenes import AGREED_SCORE, LEAST_SCORE, find_results, open_predictions
from benchmarks.tables import Table, cell
from common.errors import UserError
from common.files import atomic_path
from common.packages import import_package
from common.pages.templates import open_template

FIRST_SCORE = 0.3  # the threshold with which the album opens
# What makes the parts of a report; OUT is the report's folder.
_COMMANDS = {
    "figures": ("Ratings and predictions", "python -m X_impl.evaluate MODEL --data DATA --weights FILE --output OUT/X"),
    "parity": ("Parity", "python -m benchmarks.parity MODEL --output OUT/parity"),
    "losses": ("Losses", "python -m X_impl.train MODEL --data DATA --output OUT/accuracy/MODEL/X"),
    "accuracy": ("Accuracy", "python -m benchmarks.accuracy --output OUT"),
    "zoo": ("Published checkpoints", "python -m benchmarks.zoo WEIGHTS_FOLDER --data COCO --output OUT"),
    "speed": ("Speed", "python -m benchmarks.speed --output OUT"),
    "growth": ("Growth of the cost", "python -m benchmarks.speed --growth --output OUT"),
}


@dataclass(frozen=True)
class Losses:
    """A model's part of the section about losses."""

    model: str
    distance: str
    total: Plot
    terms: list[Plot]


@dataclass(frozen=True)
class Report:
    """All that the page shows.

    bars and growth: what is drawn of the tables "speed" and "growth". missing: the parts that the folder has nothing
    for, and the command of each. faults: files that could not be read, in words.
    """

    folder: str
    title: str
    date: str
    machine: str
    ratings: Ratings | None
    verdicts: list[Verdicts]
    losses: list[Losses]
    tables: list[Table]
    bars: list[ModelBars]
    growth: list[Plot]
    albums: list[Album]
    missing: list[tuple[str, str]]
    faults: list[str]

    @property
    def headings(self) -> list[tuple[str, str]]:
        """The sections that there are, each by the name of its place and its heading in the table of contents."""
        parts = [
            ("figures", "ratings", self.ratings),
            ("parity", "parity", self.verdicts),
            ("losses", "losses", self.losses),
            *((table.name, table.title, table) for table in self.tables),
            *((f"predictions-{album.number}", f"predictions {album.model}", album) for album in self.albums),
            ("missing", "not in this folder", self.missing or self.faults),
        ]
        return [(name, heading) for name, heading, part in parts if part]


def check_packages() -> None:
    """Raises an error that names the package, where one is missing that the page needs."""
    import_package("jinja2", "jinja2", "the report")


def write_report(folder: Path, data: Path, images: int, seed: int, path: Path) -> None:
    """Writes the page about what stands in a folder.

    data: the data set of the predictions. images: how many of it are shown; seed: of those among which they are chosen.
    """
    report = gather(folder, data, images, seed)
    page = open_template(Path(__file__).parent / "page.html").render(
        report=report, cell=cell, least_score=LEAST_SCORE, agreed_score=AGREED_SCORE, first_score=FIRST_SCORE
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def gather(folder: Path, data: Path, images: int, seed: int) -> Report:
    """Reads all that a folder has."""
    tables, faults = read_tables(folder)
    trainings, albums = read_trainings(folder), make_albums(folder, data, images, seed)
    ratings, verdicts = read_ratings(folder), read_verdicts(folder)
    found = {"figures": ratings or albums, "parity": verdicts, "losses": trainings} | tables
    if not any(found.values()):
        raise UserError(f"{folder}: has nothing that a report shows; {_COMMANDS['speed'][1]} is one that writes some")
    return Report(
        folder=str(folder),
        title=folder.resolve().name,
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        machine=describe_machine(),
        ratings=ratings,
        verdicts=verdicts,
        losses=list(filter(None, map(_draw_losses, trainings))),
        tables=list(tables.values()),
        bars=speed_bars(tables["speed"]) if "speed" in tables else [],
        growth=growth_plots(tables["growth"]) if "growth" in tables else [],
        albums=albums,
        missing=[command for name, command in _COMMANDS.items() if not found.get(name)],
        faults=faults,
    )


def make_albums(folder: Path, data: Path, images: int, seed: int) -> list[Album]:
    """The albums of the results of one model in the folder itself, and of those that `benchmarks.accuracy` has rated.

    data: the data set of the former; that of the latter lies in FOLDER/data.
    """
    found = {"": find_results(folder)}
    found |= {path.name: find_results(path) for path in sorted(folder.glob("accuracy/*/"))}
    opened = {
        model: open_predictions(files, folder / "data" / files.kind if model else data)
        for model, files in found.items()
        if files
    }
    return [
        make_album(number, model, predictions, images, seed)
        for number, (model, predictions) in enumerate(opened.items())
    ]


def _draw_losses(training: Training) -> Losses | None:
    """None where no loss was above zero, so that nothing can be drawn."""
    drawn = {
        term: draw_lines(term, {name: sorted(curve.items()) for name, curve in curves.items()}, "step", "loss")
        for term, curves in training.terms.items()
    }
    total = drawn.pop(TOTAL)
    return total and Losses(training.model, training.distance(), total, [plot for plot in drawn.values() if plot])
