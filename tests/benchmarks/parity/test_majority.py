"""Where the others agree with each other and not with the reference, the reference is named."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.parity.finding import Run
from benchmarks.parity.judge import Judge
from benchmarks.parity.majority import MOST_KEPT, Departures, departures_folder, find_contradictions
from benchmarks.parity.report import passed, table, write_html, write_json
from benchmarks.parity.tolerances import Tolerances

VALUES = np.random.default_rng(0).standard_normal((4, 50)).astype(np.float32)
NOISE = 1e-7 * np.random.default_rng(1).standard_normal((4, 50))  # well within what is always allowed
SCALED = 1.001 * VALUES


def judged(case: Path, framework: str, values: dict[str, np.ndarray | None], **more) -> Run:
    """A framework's run: each value held against VALUES at gate 2, and those that depart kept in the case's folder.

    more: other arguments of `judge`.
    """
    judge = Judge(Tolerances(), Departures.create(departures_folder(case, framework)))
    more = {"gate": 2, "kind": "loss", "reference": VALUES} | more
    found = [judge(name=name, other=other, **more) for name, other in values.items()]
    return Run(framework, "torch", found)


def whole(case: Path, *runs: Run) -> list[Run]:
    """All runs, the reference's first, as the command has them when it reports."""
    return [Run("torch", "torch", contradictions=find_contradictions(case, list(runs))), *runs]


def test_the_reference_is_named_where_two_agree_against_it(tmp_path):
    values = {"loss.B": VALUES, "loss.S": SCALED, "loss.M": VALUES + 0.3}
    noisy = {name: value + NOISE for name, value in values.items()}
    runs = whole(tmp_path, judged(tmp_path, "jittor", values), judged(tmp_path, "mindspore", noisy))
    assert [found.finding.name for found in runs[0].contradictions] == ["loss.S", "loss.M"]
    assert runs[0].contradictions[0].frameworks == ("jittor", "mindspore")
    assert 0 < runs[0].contradictions[0].difference.largest < 1e-6
    assert not passed(runs)
    verdict = table(runs).split("\n\n")[1].splitlines()
    assert verdict[0] == "torch, the reference, departs alone: first at loss.S (loss; gate 2, losses)"
    assert (
        verdict[1].startswith("  jittor and mindspore agree with each other to ") and "and so at 1 more" in verdict[2]
    )
    assert "jittor, as mindspore does, differs from torch first at loss.S" in table(runs)
    assert "jittor departs" not in table(runs)


def test_the_files_name_the_reference(tmp_path):
    runs = whole(tmp_path, *(judged(tmp_path, name, {"loss.S": SCALED}) for name in ("jittor", "mindspore")))
    write_json(tmp_path / "parity.json", runs)
    write_html(tmp_path / "parity.html", runs)
    found = json.loads((tmp_path / "parity.json").read_text())
    assert not found["passed"]
    assert [each["finding"]["name"] for each in found["reference_departs"]] == ["loss.S"]
    page = (tmp_path / "parity.html").read_text()
    assert page.index("torch, the reference, departs alone") < page.index("<table>")


@pytest.mark.parametrize(
    "other",
    [VALUES, VALUES + NOISE, 0.999 * VALUES, SCALED.reshape(50, 4), None, np.where(VALUES > 2, np.nan, SCALED)],
    ids=["passes", "passes nearly", "departs differently", "another shape", "missing", "not a number"],
)
def test_the_others_are_named_where_they_do_not_agree(tmp_path, other):
    runs = whole(tmp_path, judged(tmp_path, "jittor", {"S": SCALED}), judged(tmp_path, "mindspore", {"S": other}))
    assert runs[0].contradictions == []
    assert "the reference, departs" not in table(runs) and "jittor departs from torch first at S" in table(runs)


def test_two_that_are_not_finite_do_not_agree(tmp_path):
    broken = np.where(VALUES > 2, np.nan, VALUES)
    runs = whole(tmp_path, *(judged(tmp_path, name, {"S": broken}) for name in ("jittor", "mindspore")))
    assert runs[0].contradictions == []


def test_a_reference_that_is_not_finite_is_named(tmp_path):
    broken = np.where(VALUES > 2, np.nan, VALUES)
    two = [judged(tmp_path, name, {"S": VALUES}, reference=broken) for name in ("jittor", "mindspore")]
    assert table(whole(tmp_path, *two)).split("\n\n")[1].startswith("torch, the reference, departs alone: first at S")


def test_nothing_is_said_where_nothing_departs(tmp_path):
    runs = whole(tmp_path, *(judged(tmp_path, name, {"S": VALUES}) for name in ("jittor", "mindspore")))
    assert runs[0].contradictions == [] and passed(runs)
    missing = Run("mindspore", "torch", not_run="MindSpore is not installed")
    assert find_contradictions(tmp_path, [judged(tmp_path, "jittor", {"S": SCALED}), missing]) == []


@pytest.mark.parametrize("other", [None, SCALED.reshape(50, 4)], ids=["missing", "another shape"])
def test_two_that_lack_the_same_array_agree(tmp_path, other):
    runs = whole(tmp_path, *(judged(tmp_path, name, {"S": other}) for name in ("jittor", "mindspore")))
    assert [found.frameworks for found in runs[0].contradictions] == [("jittor", "mindspore")]


def test_what_allows_anything_makes_nobody_agree(tmp_path):
    far = {"jittor": 30 * np.ones_like(VALUES), "mindspore": 40 * np.ones_like(VALUES)}
    runs = [judged(tmp_path, name, {"S": value}, floor=(2.0, 2.0)) for name, value in far.items()]
    assert {finding.verdict for run in runs for finding in run.findings} == {"cannot tell"}
    assert find_contradictions(tmp_path, runs) == []


def test_a_third_that_sides_with_the_reference_leaves_it_open(tmp_path):
    two = [judged(tmp_path, name, {"S": SCALED}) for name in ("jittor", "mindspore")]
    assert find_contradictions(tmp_path, [*two, judged(tmp_path, "keras", {"S": VALUES})]) == []
    (found,) = find_contradictions(tmp_path, [*two, judged(tmp_path, "keras", {"S": 0.5 * VALUES})])
    assert found.frameworks == ("jittor", "mindspore")


def test_the_mode_and_the_step_tell_values_apart(tmp_path):
    one = judged(tmp_path, "jittor", {"S": SCALED}, mode="injected", step=1)
    for more in ({"mode": "accumulated", "step": 1}, {"mode": "injected", "step": 2}):
        assert find_contradictions(tmp_path, [one, judged(tmp_path, "mindspore", {"S": SCALED}, **more)]) == []


def test_the_first_arrays_of_a_gate_are_kept(tmp_path):
    run = judged(tmp_path, "jittor", {f"loss.{i}": SCALED for i in range(MOST_KEPT + 2)})
    kept = Departures(departures_folder(tmp_path, "jittor"))
    assert [finding in kept for finding in run.findings] == [True] * MOST_KEPT + [False] * 2
    again = Departures.create(departures_folder(tmp_path, "jittor"))
    assert not any(finding in again for finding in run.findings)
    again.keep(run.findings[-1], VALUES.astype(np.float64))
    assert run.findings[-1] in again and again.read(run.findings[-1]).dtype == np.float32
    assert np.array_equal(again.read(run.findings[-1]), VALUES)
