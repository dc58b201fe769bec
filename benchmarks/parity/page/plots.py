"""Plots of a comparison: the error along the depth of the network, and the losses over the optimizer's steps."""

import math
from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, get_args

from benchmarks.parity.finding import Finding, Mode, Run
from benchmarks.parity.page.drawing import COLORS, FAULT_COLOR, GRID, REFERENCE_LINE, data_uri, make_figure, style
from benchmarks.parity.page.tree import GATE, merge_orders, split_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST = 1e-9  # where the error of an array that is exact is drawn
MOST = 1e2  # and the error of one that is not finite
MOST_TICKS = 30  # names below the depth


def plot_depth(runs: Sequence[Run]) -> str:
    """The largest difference of each layer beside its tolerance, a line a framework, both modes -> an image's address.

    Empty where no layer has a difference.
    """
    found = {mode: [_errors(run, mode) for run in runs] for mode in get_args(Mode)}
    modes = [mode for mode in found if any(found[mode])]
    if not modes:
        return ""
    names = merge_orders(errors for mode in modes for errors in found[mode])
    with style():
        figure = make_figure(10.0, 1.0 + 2.6 * len(modes))
        axes = figure.subplots(len(modes), 1, sharex=True, squeeze=False)[:, 0]
        for axis, mode in zip(axes, modes, strict=True):
            _draw_errors(axis, names, found[mode], [run.framework for run in runs])
            axis.set_title(f"{mode}: the largest difference of each layer", loc="left")
        ticks = _stages(names)
        axes[-1].set_xticks(list(ticks), list(ticks.values()), rotation=35, ha="right", rotation_mode="anchor")
        axes[-1].set_xlabel("place in the computation")
        labelled = {label: line for axis in axes for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
        figure.legend(labelled.values(), labelled, loc="outside upper left", ncols=len(labelled), fontsize=8)
        return data_uri(figure)


def plot_losses(runs: Sequence[Run]) -> str:
    """Each term of the loss over the optimizer's steps, the reference's first -> an image's address.

    Empty where no run has losses.
    """
    runs = [run for run in runs if run.losses]
    terms = list(dict.fromkeys(term for run in runs for losses in run.losses for term in losses))
    if not terms:
        return ""
    columns = min(3, len(terms))
    rows = math.ceil(len(terms) / columns)
    with style():
        figure = make_figure(10.0, 0.5 + 2.3 * rows)
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis, term in zip(axes, terms, strict=False):
            _draw_term(axis, term, runs)
            axis.set_title(term, loc="left")
        for axis in axes[len(terms) :]:
            axis.set_axis_off()
        for axis in axes[max(0, len(terms) - columns) : len(terms)]:
            axis.set_xlabel("optimizer step")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=len(runs), fontsize=8)
        return data_uri(figure)


def _errors(run: Run, mode: Mode) -> dict[str, Finding]:
    """The layers that have a difference, by name, in the order of the computation."""
    return {
        finding.name: finding
        for finding in run.findings_of(GATE)
        if finding.mode == mode and finding.kind != "weight" and finding.difference is not None
    }


def _draw_errors(axis: "Axes", names: list[str], found: list[dict[str, Finding]], frameworks: list[str]) -> None:
    """A line a framework, a mark where a layer fails, and the tolerance; found: the findings of each by name."""
    place = {name: index for index, name in enumerate(names)}
    allowed: dict[int, float] = {}
    failed: list[tuple[int, float]] = []
    for index, (errors, framework) in enumerate(zip(found, frameworks, strict=True)):
        errors = dict(sorted(errors.items(), key=lambda item: place[item[0]]))
        places = [place[name] for name in errors]
        drawn = [_drawn(finding.difference.largest) for finding in errors.values()]
        color = COLORS[index % len(COLORS)]
        axis.plot(places, drawn, "o", color=color, markersize=2.5)
        # No line leads to an error of zero, which is no place on this axis.
        line = [error if error > LEAST else math.nan for error in drawn]
        axis.plot(places, line, color=color, linewidth=1.2, label=framework)
        allowed |= {place[name]: finding.tolerance.largest for name, finding in errors.items() if finding.tolerance}
        verdicts = zip(places, drawn, errors.values(), strict=True)
        failed += [(at, error) for at, error, finding in verdicts if finding.failed]
    order = sorted(allowed)
    limits = [allowed[at] for at in order]
    axis.plot(order, limits, "--", drawstyle="steps-mid", color="#777777", linewidth=1, label="allowed")
    if failed:
        axis.plot(*zip(*failed, strict=True), "x", color=FAULT_COLOR, markersize=6, label="failed")
    axis.set_yscale("log")
    axis.set_ylim(LEAST / 2, None)
    axis.set_ylabel("relative to the largest value")
    axis.grid(axis="y", **GRID)


def _drawn(error: float) -> float:
    """An error as it can stand on a logarithmic axis."""
    return max(LEAST, error) if math.isfinite(error) else MOST


def _stages(names: list[str]) -> dict[int, str]:
    """Names to stand below the depth, by place: of the outermost modules, where there is room for them."""
    found: dict[int, str] = {}
    last, free = "", 0.0
    for index, name in enumerate(names):
        stage = split_name(name)[0].partition(".")[0]
        if stage != last and index >= free:
            found[index], free = stage, index + len(names) / MOST_TICKS
        last = stage
    return found


def _draw_term(axis: "Axes", term: str, runs: Sequence[Run]) -> None:
    """One term of the loss by step; a framework without it is left out."""
    colors = cycle(COLORS)
    for run in runs:
        is_reference = run.framework == run.reference
        points = [(step, losses[term]) for step, losses in enumerate(run.losses, start=1) if term in losses]
        steps, values = zip(*points, strict=True) if points else ((), ())
        line = REFERENCE_LINE if is_reference else {"color": next(colors), "marker": "o", "markersize": 2.5}
        axis.plot(steps, values, label=run.framework, **line)
    axis.grid(axis="y", **GRID)
    axis.xaxis.get_major_locator().set_params(integer=True)
