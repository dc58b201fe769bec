"""What is drawn of the tables of `benchmarks.speed`: bars of the times of each task, and how the cost grows."""

from collections import defaultdict
from dataclasses import dataclass

from benchmarks.report.plots import Plot, draw_lines
from benchmarks.tables import Table, Value, cell

# The keys that a row must have to be drawn.
_OF_SPEED = {"model": str, "task": str, "framework": str, "ms": int | float}
_OF_GROWTH = {"quantity": str, "value": int | float, "framework": str, "seconds": int | float}

Row = dict[str, Value]


@dataclass(frozen=True)
class Bar:
    """A framework's time for a task. share: of the longest time for this task."""

    framework: str
    share: float
    text: str


@dataclass(frozen=True)
class ModelBars:
    """The bars of one model, by task."""

    model: str
    tasks: list[tuple[str, list[Bar]]]


def speed_bars(table: Table) -> list[ModelBars]:
    """The times of the table "speed", which has them in milliseconds, beside the first framework's."""
    models: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in _complete(table, _OF_SPEED):
        models[row["model"]][row["task"]].append(row)
    return [ModelBars(model, [(task, _bars(rows)) for task, rows in tasks.items()]) for model, tasks in models.items()]


def _bars(rows: list[Row]) -> list[Bar]:
    first, longest = rows[0], max(row["ms"] for row in rows)
    bars = []
    for row in rows:
        text = f"{cell(row['ms'])} ms"
        if row is not first and first["ms"] > 0:
            text += f" ({row['ms'] / first['ms']:.2f} ×)"
        bars.append(Bar(row["framework"], row["ms"] / longest if longest > 0 else 0.0, text))
    return bars


def growth_plots(table: Table) -> list[Plot]:
    """A plot for each quantity that grows, of each model and task: seconds over the quantity, a line a framework.

    The name of a line tells the exponent, where the table has it.
    """
    groups: dict[tuple, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in _complete(table, _OF_GROWTH):
        group = row.get("model"), row.get("task"), row["quantity"]
        groups[group][row["framework"]].append(row)
    plots = []
    for (model, task, quantity), lines in groups.items():
        title = ", ".join(str(part) for part in (model, task) if part) or quantity
        curves = {
            _name(framework, rows): sorted((row["value"], row["seconds"]) for row in rows)
            for framework, rows in lines.items()
        }
        plots.append(draw_lines(title, curves, quantity, "seconds", log_x=True))
    return [plot for plot in plots if plot]


def _name(framework: str, rows: list[Row]) -> str:
    exponents = [row["exponent"] for row in rows if isinstance(row.get("exponent"), int | float)]
    return f"{framework}, exponent {exponents[0]:.2f}" if exponents else framework


def _complete(table: Table, needed: dict[str, type]) -> list[Row]:
    """The rows in which these keys have values of these types."""
    return [row for row in table.rows if all(isinstance(row.get(key), kind) for key, kind in needed.items())]
