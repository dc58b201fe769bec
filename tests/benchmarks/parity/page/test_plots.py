"""The plots have a line for each framework, at the places and values of its findings."""

import math

import numpy as np
import pytest

from benchmarks.parity.finding import Difference, Run
from benchmarks.parity.page import plots
from benchmarks.parity.page.plots import LEAST, MOST, plot_depth, plot_losses
from tests.benchmarks.parity.made_up import ALLOWED, FAR, STEPS, finding, made_up_runs


@pytest.fixture
def figures(monkeypatch) -> list:
    """The figures that were drawn."""
    made = []
    make = plots.make_figure
    monkeypatch.setattr(plots, "make_figure", lambda *size: made.append(make(*size)) or made[-1])
    return made


def lines_of(axis) -> dict[str, tuple[list, list]]:
    """x and y of the lines by label."""
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axis.get_lines()}


def test_the_error_of_each_layer_stands_beside_its_tolerance(figures):
    zero, infinite = Difference(0.0, 0.0, 1.0, 1.0), Difference(math.inf, math.inf, math.nan, 0.5)
    one = Run("keras", "torch", [finding("a"), finding("b.c", found=zero, verdict="passed"), finding("d")])
    other = [finding("a"), finding("b.x", found=FAR), finding("b.c", found=infinite)]
    two = Run("jittor", "torch", [*other, finding("a", mode="injected"), finding("w", "weight", FAR)])
    assert plot_depth([one, two]).startswith("data:image/svg+xml;base64,")
    accumulated, injected = figures[0].axes
    lines = lines_of(accumulated)
    places, errors = lines["keras"]  # a, b.x, b.c, d: in the order of the computation
    assert places == [0, 2, 3] and errors[::2] == [3.1e-7] * 2 and math.isnan(errors[1])
    assert (places, [3.1e-7, LEAST, 3.1e-7]) in [(list(x.get_xdata()), list(x.get_ydata())) for x in accumulated.lines]
    assert lines["jittor"] == ([0, 1, 2], [3.1e-7, 0.25, MOST])
    assert lines["failed"] == ([1, 2], [0.25, MOST])
    assert lines["allowed"] == ([0, 1, 2, 3], [ALLOWED.largest] * 4)
    assert lines_of(injected)["jittor"] == ([0], [3.1e-7]) and accumulated.get_yscale() == "log"
    assert accumulated.get_title("left").startswith("accumulated")
    assert injected.get_title("left").startswith("injected")


def test_few_names_stand_below_the_depth():
    many = [f"net.layer{i}.conv" for i in range(100)]
    assert plots._stages([*["stem.conv"] * 9, *many]) == {0: "stem", 9: "net"}
    apart = plots._stages([f"layer{i}" for i in range(100)])
    assert 2 < len(apart) <= plots.MOST_TICKS and all(name == f"layer{place}" for place, name in apart.items())


def test_each_term_of_the_loss_has_its_panel(figures):
    runs = made_up_runs()
    assert plot_losses(runs).startswith("data:image/svg+xml;base64,")
    panels = {axis.get_title("left"): lines_of(axis) for axis in figures[0].axes}
    assert list(panels) == ["S", "B"]
    assert list(panels["S"]) == ["torch", "keras", "jittor"]
    steps, values = panels["B"]["jittor"]
    assert steps == list(range(1, STEPS + 1))
    np.testing.assert_allclose(values, [1 + 1 / step for step in steps])


def test_a_term_that_one_has_not_is_left_out(figures):
    losses = [{"S": 1.0}, {"S": 0.5, "M": 2.0}]
    assert plot_losses([Run("torch", "torch", losses=losses), Run("jittor", "torch", losses=[{"S": 1.0}])])
    panels = {axis.get_title("left"): lines_of(axis) for axis in figures[0].axes}
    assert panels["M"] == {"torch": ([2], [2.0]), "jittor": ([], [])}


def test_there_is_no_plot_of_nothing():
    assert plot_losses([Run("torch", "torch"), Run("jittor", "torch", [finding("a")])]) == ""
    assert plot_depth([Run("jittor", "torch", [finding("loss.S", "loss", gate=2)])]) == ""
    assert plot_depth([]) == ""
