"""What stands behind the figures of one rating, as plain data: of every class, of every kind of error."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from common.evaluation.errors import Cost


@dataclass(frozen=True)
class Confusion:
    """Which class objects are taken for.

    names (K + 1): of the rows and the columns, the last for nothing; counts (K + 1, K + 1): the row is what an object
    is, the column what it is taken for. iou and score: what a detection needs to be counted.
    """

    names: list[str]
    counts: list[list[int]]
    iou: float
    score: float


@dataclass(frozen=True)
class Breakdown:
    """What stands behind the figures; what a kind of result has not is empty.

    meanings: figures of a class -> what they are. classes: name -> figures of that class, in percent or counted, NaN
    where there is nothing to rate. ap50: the AP at an IoU of 0.5 in percent that the costs of errors are added to.
    errors: kind -> number and cost. curves: IoU -> the mean precision of the classes, in percent, at the recalls 0,
    0.01 ... 1.
    """

    meanings: dict[str, str]
    classes: dict[str, dict[str, float]]
    ap50: float | None = None
    errors: dict[str, Cost] = field(default_factory=dict)
    confusion: Confusion | None = None
    curves: dict[str, list[float]] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """All of it as JSON holds it, null for NaN."""
        return _without_nan(asdict(self))


def from_figures(figures: Mapping[str, float], meanings: dict[str, str]) -> Breakdown:
    """The figures of classes among others, which are called as the figure and the class: "PQ-person" is a person's PQ.

    meanings: the figures that classes have, and what they are.
    """
    classes: dict[str, dict[str, float]] = {}
    for name, value in figures.items():
        figure, dash, each = name.partition("-")
        if dash and figure in meanings:
            classes.setdefault(each, {})[figure] = value
    return Breakdown(meanings, classes)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(each) for name, each in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
