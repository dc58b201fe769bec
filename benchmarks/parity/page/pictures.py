"""Pictures of an array that departs: the reference's, the framework's and their difference."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.parity.finding import Finding, Run
from benchmarks.parity.majority import Departures
from benchmarks.parity.page.drawing import COLORS, FAULT_COLOR, REFERENCE_LINE, data_uri, make_figure, style
from benchmarks.parity.wording import describe_departure, describe_place

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PICTURES = 4  # of one framework
MOST_CHANNELS = 3
LEAST_SIDE = 8  # of a channel that is drawn as a picture: a smaller one is a row of a heat map
MOST_ROWS, MOST_COLUMNS = 48, 256  # of a heat map
MOST_VALUES = 512  # of a line
PANEL = 2.4  # inches, of a picture's longer side
NOT_FINITE = "#111111"


@dataclass(frozen=True)
class Picture:
    """A departure to be looked at. address: of an image; empty where `remark` says why there is none."""

    title: str
    how: str
    remark: str
    address: str = ""


def draw_departures(run: Run, departures: Departures) -> list[Picture]:
    """Pictures of the first departures of a framework, causes first, each array once."""
    return [_draw(finding, run, departures) for finding in choose_departures(run, departures)]


def choose_departures(run: Run, departures: Departures) -> list[Finding]:
    """The failures that are drawn of those that were kept: the first, the other causes, consequences; no name twice.

    A number alone, such as a loss, is among them where it is the first.
    """
    first = run.first()
    ranked = sorted(run.failures(), key=lambda found: found.role == "consequence")
    by_name: dict[tuple[int, str], Finding] = {}
    for finding in ranked:
        if finding in departures and (finding is first or not _is_number(departures.read(finding))):
            by_name.setdefault((finding.gate, finding.name), finding)
    return list(by_name.values())[:MOST_PICTURES]


def _is_number(array: np.ndarray | None) -> bool:
    return array is not None and array.size == 1


def _draw(finding: Finding, run: Run, departures: Departures) -> Picture:
    reference, other = departures.read_reference(finding), departures.read(finding)
    title, how = describe_place(finding), describe_departure(finding)
    if reference is None or other is None or reference.shape != other.shape or not reference.size:
        return Picture(title, how, "no picture: there are no two arrays of one shape")
    reference, other = np.asarray(reference), np.asarray(other)
    shape = f"shape {reference.shape}"
    if reference.size == 1:
        values = f"{run.reference} {reference.item():.9g}, {run.framework} {other.item():.9g}"
        return Picture(title, how, f"one number: {values}, difference {other.item() - reference.item():.3g}")
    names = (run.reference, run.framework, f"{run.framework} - {run.reference}")
    with style():
        if reference.ndim == 4 and min(reference.shape[2:]) >= LEAST_SIDE:
            figure, remark = _draw_channels(reference, other, names)
        elif max(reference.shape) == reference.size:
            figure, remark = _draw_line(reference.ravel().astype(np.float64), other.ravel().astype(np.float64), names)
        else:
            figure, remark = _draw_heat_map(_as_matrix(reference), _as_matrix(other), names)
        return Picture(title, how, f"{shape}{remark}", data_uri(figure))


def _draw_channels(reference: np.ndarray, other: np.ndarray, names: tuple[str, ...]) -> tuple["Figure", str]:
    """The channels (N, C, H, W) that differ most, a row each, in one scale of colours."""
    distance = _distance(reference, other).max((2, 3))  # (N, C)
    image = int(distance.max(1).argmax())
    channels = _most(distance[image], MOST_CHANNELS)
    height, width = reference.shape[2:]
    panel = min(PANEL, PANEL * height / width)  # its height
    figure = make_figure(0.6 + 3 * panel * width / height, 1.2 + len(channels) * panel)
    axes = figure.subplots(len(channels), 3, squeeze=False)
    rows = [f"channel {channel}" for channel in channels]
    _draw_panels(figure, axes, reference[image, channels], other[image, channels], names, rows, "equal")
    of_images = f" of image {image}" if len(reference) > 1 else ""
    which = f", the {len(channels)} of {reference.shape[1]} channels{of_images} that differ most"
    return figure, which if len(channels) < reference.shape[1] else f", all channels{of_images}"


def _draw_heat_map(reference: np.ndarray, other: np.ndarray, names: tuple[str, ...]) -> tuple["Figure", str]:
    """The rows and columns of a matrix that differ most."""
    distance = _distance(reference, other)
    rows = _most(distance.max(1), MOST_ROWS)
    columns = _most(distance[rows].max(0), MOST_COLUMNS)
    chosen = np.ix_(rows, columns)
    figure = make_figure(10.0, 1.2 + min(4.0, max(1.2, 0.1 * len(rows))))
    axes = figure.subplots(1, 3, squeeze=False)
    _draw_panels(figure, axes, reference[chosen][None], other[chosen][None], names, [""], "auto")
    axes[0, 0].set_ylabel("row")
    parts = [
        f"the {len(chosen)} of {total} {word} that differ most"
        for word, chosen, total in (("rows", rows, len(reference)), ("columns", columns, reference.shape[1]))
        if len(chosen) < total
    ]
    return figure, "".join(f", {part}" for part in [f"drawn as {reference.shape[0]} × {reference.shape[1]}", *parts])


def _draw_panels(
    figure: "Figure",
    axes: np.ndarray,
    reference: np.ndarray,
    other: np.ndarray,
    names: tuple[str, ...],
    rows: list[str],
    aspect: str,
) -> None:
    """A row of three panels for each matrix (rows, H, W), with the two scales of colours below."""
    from matplotlib import colormaps

    reference, other = reference.astype(np.float64), other.astype(np.float64)  # whose differences do not overflow
    with np.errstate(invalid="ignore"):
        difference = other - reference
    lowest, highest = _limits(np.stack([reference, other]))
    largest = max(map(abs, _limits(difference))) or 1.0
    values, signed = (colormaps[name].with_extremes(bad=NOT_FINITE) for name in ("viridis", "RdBu_r"))
    for row, title in enumerate(rows):
        panels = ((reference, values, lowest, highest), (other, values, lowest, highest))
        panels += ((difference, signed, -largest, largest),)
        for axis, name, (arrays, colors, low, high) in zip(axes[row], names, panels, strict=True):
            shown = np.ma.masked_invalid(arrays[row])
            axis.imshow(shown, colors, vmin=low, vmax=high, aspect=aspect, interpolation="none")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            if row == 0:
                axis.set_title(name)
        axes[row, 0].set_ylabel(title)
    _add_scale(figure, axes[:, :2], "value", [lowest, (lowest + highest) / 2, highest])
    _add_scale(figure, axes[:, 2:], "difference", [-largest, 0.0, largest])


def _add_scale(figure: "Figure", axes: np.ndarray, label: str, values: list[float]) -> None:
    """The legend of the panels in these axes, with a few values of the scale of colours."""
    bar = {"orientation": "horizontal", "aspect": 20 * axes.shape[1], "fraction": 0.06, "pad": 0.02}
    image = axes[0, 0].images[0]
    figure.colorbar(image, ax=list(axes.ravel()), label=label, ticks=values, format="%.3g", **bar)


def _draw_line(reference: np.ndarray, other: np.ndarray, names: tuple[str, ...]) -> tuple["Figure", str]:
    """Both vectors over each other and the difference below; of a long one the values that differ most."""
    chosen = _most(_distance(reference, other), MOST_VALUES)
    figure = make_figure(10.0, 3.6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    above.plot(reference[chosen], label=names[0], **REFERENCE_LINE)
    above.plot(other[chosen], "-o", color=COLORS[0], linewidth=1, markersize=2, label=names[1])
    figure.legend(*above.get_legend_handles_labels(), loc="outside upper right", ncols=2, fontsize=8)
    above.set_ylabel("value")
    with np.errstate(invalid="ignore"):
        below.plot(other[chosen] - reference[chosen], "-o", color=FAULT_COLOR, linewidth=1, markersize=2)
    below.axhline(0, color="#888888", linewidth=0.8)
    below.set_ylabel("difference")
    _name_positions(below, chosen)
    return figure, f", the {len(chosen)} that differ most" if len(chosen) < len(reference) else ""


def _name_positions(axis: "Axes", chosen: np.ndarray) -> None:
    """Ticks that name the index of a value in the whole array."""
    ticks = np.unique(np.linspace(0, len(chosen) - 1, min(9, len(chosen))).astype(int))
    axis.set_xticks(ticks, [str(chosen[tick]) for tick in ticks])
    axis.set_xlabel("index")


def _as_matrix(array: np.ndarray) -> np.ndarray:
    """(A, B, ...) -> (A, B * ...), or (B, ...) where A alone is 1."""
    while array.ndim > 2 and len(array) == 1:
        array = array[0]
    return array.reshape(len(array), -1)


def _distance(reference: np.ndarray, other: np.ndarray) -> np.ndarray:
    """|other - reference|, infinite where one of the two is not finite."""
    with np.errstate(invalid="ignore"):
        distance = np.abs(other.astype(np.float64) - reference)
    distance[~np.isfinite(distance)] = np.inf
    return distance


def _most(distance: np.ndarray, count: int) -> np.ndarray:
    """The indices of the largest values, in their own order."""
    return np.sort(np.argsort(-distance, kind="stable")[:count])


def _limits(array: np.ndarray) -> tuple[float, float]:
    """The smallest and the largest of the finite values; (0, 0) where there is none."""
    finite = array[np.isfinite(array)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
