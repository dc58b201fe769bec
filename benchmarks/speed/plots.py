"""The plots of how a model's cost grows: a line for each framework, both axes in logarithms."""

from pathlib import Path
from typing import Any

from benchmarks.parity.page.drawing import COLORS, GRID, make_figure, style
from common.files import atomic_path


def plot_growth(rows: list[dict[str, Any]], folder: Path) -> list[Path]:
    """Writes FOLDER/growth_MODEL_QUANTITY.svg for each series of the table `growth` -> their paths."""
    paths = []
    with style():
        for model, quantity in dict.fromkeys((row["model"], row["quantity"]) for row in rows):
            series = [row for row in rows if (row["model"], row["quantity"]) == (model, quantity)]
            path = folder / f"growth_{Path(model).stem}_{quantity.replace(' ', '_')}.svg"
            figure = _plot(series, f"{Path(model).stem}: {series[0]['task']}", quantity)
            with atomic_path(path) as temporary:
                figure.savefig(temporary, metadata={"Date": None})
            paths.append(path)
    return paths


def _plot(series: list[dict[str, Any]], title: str, quantity: str) -> Any:
    """A figure of one series; the legend has the exponents."""
    figure = make_figure(4.6, 3.2)
    axes = figure.subplots()
    names = dict.fromkeys(row["framework"] for row in series)
    for color, name in zip(COLORS, names, strict=False):
        points = [row for row in series if row["framework"] == name]
        exponent = points[0]["exponent"]
        label = name if exponent is None else f"{name}, exponent {exponent:.2f}"
        axes.plot([row["value"] for row in points], [row["seconds"] for row in points], "o-", color=color, label=label)
    axes.set(xscale="log", yscale="log", xlabel=quantity, ylabel="seconds", title=title)
    ticks = list(dict.fromkeys(row["value"] for row in series))
    axes.set_xticks(ticks, map(str, ticks))
    axes.minorticks_off()
    axes.grid(**GRID)
    axes.legend()
    return figure
