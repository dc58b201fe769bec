"""The page of an evaluation: its figures, and of each kind of result the errors, curves, confusions and classes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.evaluation.breakdown import Breakdown, Confusion
from common.evaluation.errors import KINDS
from common.files import atomic_path
from common.pages.templates import open_template

MOST_MIXED = 8  # pairs of classes that are named
_EMPTY = "–"


@dataclass(frozen=True)
class Evaluation:
    """What the page shows.

    title: the model. facts: what was rated with what, by name. headline: the figures that count most, in percent, by
    their full names. lines: all figures, in words. notes: what else is to be said of them. breakdowns: what stands
    behind them, by the name of what is rated.
    """

    title: str
    facts: Mapping[str, str]
    headline: Mapping[str, float]
    lines: Sequence[str]
    notes: Sequence[str]
    breakdowns: Mapping[str, Breakdown]


def write_evaluation(path: Path, evaluation: Evaluation) -> None:
    """Writes the page."""
    template = open_template(Path(__file__).with_suffix(".html"), number=_number, share=_share, kinds=KINDS)
    page = template.render(
        title=evaluation.title,
        facts=evaluation.facts,
        headline=evaluation.headline,
        lines=evaluation.lines,
        notes=evaluation.notes,
        parts=[_part(name, breakdown) for name, breakdown in evaluation.breakdowns.items()],
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _part(name: str, breakdown: Breakdown) -> dict[str, Any]:
    """A section of the page."""
    return {
        "name": name,
        "meanings": breakdown.meanings,
        "classes": breakdown.classes,
        "ap50": breakdown.ap50,
        "errors": breakdown.errors,
        "confusion": breakdown.confusion and _table(breakdown.confusion),
        "curves": breakdown.curves and _plot(breakdown.curves),
    }


def _table(confusion: Confusion) -> dict[str, Any]:
    """The classes that occur, with the share of the row in each cell, and the classes that are mixed up most often."""
    counts, names = np.array(confusion.counts), np.array(confusion.names, dtype=object)
    last = len(counts) - 1
    kept = np.flatnonzero((counts.sum(axis=0) + counts.sum(axis=1) > 0) | (np.arange(len(counts)) == last))
    rows = []
    for row in kept:
        total = max(1, counts[row].sum())
        cells = [
            {"count": int(counts[row, column]), "right": row == column, "share": _share(counts[row, column], total)}
            for column in kept
        ]
        rows.append((names[row], cells))
    mixed = counts[:last, :last] * ~np.eye(last, dtype=bool)
    most = [divmod(int(place), last) for place in np.argsort(-mixed, axis=None, kind="stable")[:MOST_MIXED]]
    return {
        "names": names[kept].tolist(),
        "rows": rows,
        "mixed": [(names[true], names[taken], int(mixed[true, taken])) for true, taken in most if mixed[true, taken]],
        "nothing": names[last],
        "iou": confusion.iou,
        "score": confusion.score,
    }


def _plot(curves: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """The places of lines and ticks in a picture, whose units are a pixel wide where it is shown in full size."""
    width, height, left, right, top, bottom = 460, 330, 36, 446, 22, 288

    def place(recall: float, precision: float) -> tuple[float, float]:
        return left + recall / 100 * (right - left), bottom - precision / 100 * (bottom - top)

    lines = []
    for rank, (iou, precision) in enumerate(curves.items()):
        recalls = np.linspace(0.0, 100.0, len(precision))
        points = (place(*pair) for pair in zip(recalls, precision, strict=True))
        lines.append(
            {
                "iou": iou,
                # From blue to red, past the hues that look alike.
                "hue": round(225 + 145 * rank / max(1, len(curves) - 1)) % 360,
                "points": " ".join(f"{x:.1f},{y:.1f}" for x, y in points),
                "mean": float(np.mean(precision)),
            }
        )
    ticks = [{"text": value, "x": place(value, 0)[0], "y": place(0, value)[1]} for value in range(0, 101, 20)]
    frame = {"width": width, "height": height, "left": left, "right": right, "top": top, "bottom": bottom}
    return frame | {"lines": lines, "ticks": ticks}


def _number(value: float | None) -> str:
    """A count as it is, a share in percent with one digit, and a dash where there is nothing to rate."""
    if value is None or math.isnan(value):
        return _EMPTY
    return str(value) if isinstance(value, int) else f"{value:.1f}"


def _share(value: float, whole: float) -> str:
    return f"{max(0.0, min(1.0, value / whole)):.3g}"
