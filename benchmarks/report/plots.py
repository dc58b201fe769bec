"""The geometry of plots of lines, which the page draws as SVG: it is sharp, light or dark, and needs no package."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# In the units of the SVG: small, so that its text can be read where a screen of 390 pixels shows the whole plot.
WIDTH, HEIGHT = 380.0, 250.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 12.0, 10.0, 38.0
MOST_TICKS = 6

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Tick:
    """A value of an axis: where it stands, and its text."""

    place: float
    text: str


@dataclass(frozen=True)
class Line:
    """A line of a plot: its name, which begins with the framework's, and its points as an SVG's polyline has them.

    marks: x and y of single points that are drawn as dots; none where there are many.
    """

    name: str
    points: str
    marks: list[tuple[float, float]]

    @property
    def framework(self) -> str:
        return self.name.partition(",")[0]


@dataclass(frozen=True)
class Plot:
    """A plot as it is drawn. title: what it shows; x_label and y_label: what stands along the axes."""

    title: str
    x_label: str
    y_label: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[Line]

    width, height = WIDTH, HEIGHT
    left, right, top, bottom = LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM


@dataclass(frozen=True)
class Axis:
    """Values along one side of a plot, from `low` to `high`, which stand at the places `begin` to `end`."""

    low: float
    high: float
    begin: float
    end: float
    logarithmic: bool

    def place(self, value: float) -> float:
        low, high, value = (math.log10(each) if self.logarithmic else each for each in (self.low, self.high, value))
        share = (value - low) / (high - low)
        return round(self.begin + share * (self.end - self.begin), 1)

    def ticks(self) -> list[Tick]:
        values = _decimal_values(self.low, self.high) if self.logarithmic else _even_values(self.low, self.high)
        return [Tick(self.place(value), f"{value:.4g}") for value in values]


def draw_lines(
    title: str, curves: Mapping[str, Points], x_label: str, y_label: str, log_x: bool = False, log_y: bool = True
) -> Plot | None:
    """A plot of curves by their names; None where no point can be drawn.

    Values that are not finite are left out, and those not above zero where the axis is logarithmic. Where a few values
    of x are all that there are, these are the ticks.
    """
    drawn = {
        name: [point for point in points if _fits(point[0], log_x) and _fits(point[1], log_y)]
        for name, points in curves.items()
    }
    values = [point for points in drawn.values() for point in points]
    if not values:
        return None
    x_axis = _axis([x for x, _ in values], LEFT, WIDTH - RIGHT, log_x)
    y_axis = _axis([y for _, y in values], HEIGHT - BOTTOM, TOP, log_y)
    lines = []
    for name, points in drawn.items():
        places = [(x_axis.place(x), y_axis.place(y)) for x, y in points]
        marks = places if len(places) <= 12 else []
        lines.append(Line(name, " ".join(f"{x:g},{y:g}" for x, y in places), marks))
    measured = sorted({x for x, _ in values})
    x_ticks = [Tick(x_axis.place(x), f"{x:.4g}") for x in measured]
    if len(measured) > MOST_TICKS:
        x_ticks = x_axis.ticks()
    return Plot(title, x_label, y_label, x_ticks, y_axis.ticks(), lines)


def _fits(value: float, logarithmic: bool) -> bool:
    return math.isfinite(value) and (value > 0 or not logarithmic)


def _axis(values: Sequence[float], begin: float, end: float, logarithmic: bool) -> Axis:
    """An axis with a little room on both sides; a single value stands in its middle."""
    low, high = min(values), max(values)
    if logarithmic:
        room = max(high / low, 1.02) ** 0.06
        low, high = low / room, high * room
    else:
        room = 0.04 * (high - low) or 0.04 * abs(high) or 1.0
        low, high = low - room, high + room
    return Axis(low, high, begin, end, logarithmic)


def _even_values(low: float, high: float) -> list[float]:
    """Round values from `low` to `high`, at even distances."""
    for step in _steps(10.0 ** math.floor(math.log10((high - low) / MOST_TICKS))):
        first, last = math.ceil(low / step), math.floor(high / step)
        if last - first < MOST_TICKS:
            return [number * step for number in range(first, last + 1)]
    raise AssertionError("some step is large enough")


def _steps(power: float) -> list[float]:
    return [power * factor for factor in (1, 2, 5, 10, 20)]


def _decimal_values(low: float, high: float) -> list[float]:
    """Powers of ten from `low` to `high`; where there are few, values in between, too."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        values = [factor * 10.0**power for power in powers for factor in factors]
        inside = [value for value in values if low <= value <= high]
        if len(inside) >= 3:
            return inside[:: math.ceil(len(inside) / MOST_TICKS)]
    return _even_values(low, high)
