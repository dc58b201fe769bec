"""Matplotlib's figures as images that stand in the page itself."""

import base64
import io
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from common.packages import import_package

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Of Okabe and Ito: told apart by everybody.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
REFERENCE_LINE = {"color": "#222222", "linewidth": 3, "alpha": 0.35}  # broad: a line upon it leaves it visible
FAULT_COLOR = "#b3261e"
GRID = {"color": "#e5e5e5", "linewidth": 0.6}

_STYLE = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "legend.frameon": False,
    "svg.hashsalt": "parity",  # else the same figure is another text each time
}


def style() -> AbstractContextManager:
    """The context in which a figure is made and written."""
    return import_package("matplotlib", "matplotlib", "the page of a report").rc_context(_STYLE)


def make_figure(width: float, height: float) -> "Figure":
    """An empty figure of this size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def data_uri(figure: "Figure") -> str:
    """The figure as an SVG within a `data:` address."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None}, bbox_inches="tight", pad_inches=0.05)
    return f"data:image/svg+xml;base64,{base64.b64encode(text.getvalue().encode()).decode()}"
