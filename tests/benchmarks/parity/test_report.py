"""A report says what departs and what was not run, in a table, in JSON and as a page."""

import json
import math
from dataclasses import asdict
from html.parser import HTMLParser

import pytest

from benchmarks.parity.finding import Difference, Finding, Run, Tolerance
from benchmarks.parity.report import MOST_CAUSES, passed, table, write_html, write_json

ALLOWED = Tolerance(1.1e-7, 1.2e-7, 2.1e-6, 2.2e-6)
NEAR = Difference(3.1e-7, 3.2e-7, 1.0, 1.0)
NEARER = Difference(1.5e-7, 1.6e-7, 1.0, 1.0)
FAR = Difference(0.25, 0.125, 0.98765, 0.99996)
BROKEN = Difference(math.inf, math.inf, math.nan, 0.5)


def finding(name: str, kind: str, found: Difference | None, gate: int = 1, **more) -> Finding:
    return Finding(
        gate, name, kind, "passed" if found in (NEAR, NEARER) else "failed", found, ALLOWED if found else None, **more
    )


@pytest.fixture
def runs() -> list[Run]:
    good = [finding("preprocessing", "preprocessing", NEARER), finding("backbone.conv1", "Conv", NEAR)]
    scaled = {"pattern": "scale by channel", "detail": "times 0.5 to 2"}
    faulty = [
        finding("preprocessing", "preprocessing", NEAR),
        finding("backbone.bn1", "BatchNorm", FAR, role="cause", **scaled),
        finding("a<b>&'\"", "Conv", BROKEN, role="consequence", pattern="not finite", detail="3 NaN <here>"),
        finding("backbone.bn1", "BatchNorm", FAR, role="cause", mode="injected", **scaled),
        finding("loss.S", "loss", None, gate=2, role="cause", pattern="missing", detail="not there"),
        finding("head.box.weight", "update", NEAR, gate=4, step=20),
    ]
    return [
        Run("torch", "torch", seconds={"forward": 0.5, "layers": 1.25}, peak_mib=812.4),
        Run("keras", "torch", good),
        Run("jittor", "torch", faulty),
        Run("mindspore", "torch", not_run="MindSpore is not installed"),
    ]


def lines_of(text: str) -> dict[tuple[str, str], list[str]]:
    """(gate, framework) -> the other columns."""
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.split("\n\n")[0].splitlines()]
    return {(row[0], row[1]): row[2:] for row in rows}


def test_the_table_has_a_line_for_each_gate_and_framework(runs):
    rows = lines_of(table(runs))
    header = rows.pop(("gate", "framework"))
    assert header[:4] == ["compared", "largest", "measured", "allowed"]
    gates = ["1 layers", "1 layers, injected", "2 losses", "4 optimizer steps"]
    assert list(rows) == [(gate, name) for gate in gates for name in ("keras", "jittor", "mindspore")]
    near = ["3.10e-07", "1.10e-07", "2.10e-06", "3.20e-07", "1.20e-07", "2.20e-06", "1.000000", "100.00%"]
    assert rows["1 layers", "keras"] == ["2", *near, "passed", "backbone.conv1"]
    assert rows["4 optimizer steps", "jittor"] == ["1", *near, "passed", "head.box.weight, step 20"]
    # Not quite all of the elements is not 100%, and an infinity is the worst.
    assert rows["1 layers, injected", "jittor"][7:] == ["0.987650", "99.99%", "FAILED 1", "backbone.bn1"]
    assert rows["1 layers", "jittor"][0:2] + rows["1 layers", "jittor"][-2:] == ["3", "inf", "FAILED 2", "a<b>&'\""]
    assert rows["2 losses", "jittor"][-2:] == ["FAILED 1", "loss.S"]
    assert all(row == ["-"] * 9 + ["not run"] for (_, name), row in rows.items() if name == "mindspore")


def test_the_first_that_departs_is_told_in_full(runs):
    text = table(runs)
    assert "jittor departs from torch first at backbone.bn1 (BatchNorm; gate 1, layers)" in text
    assert "how: scale by channel: times 0.5 to 2" in text
    assert "by: 2.50e-01, where 2.10e-06 is allowed" in text
    assert "why: usually the epsilon" in text
    assert "gate 2  loss.S (loss)  missing: not there" in text
    assert text.count("backbone.bn1 (BatchNorm") == 1  # the other mode's finding is no other cause
    assert "consequences: 1" in text
    assert "keras departs" not in text and "mindspore departs" not in text
    assert "not run: mindspore: MindSpore is not installed" in text
    assert "not run: the gates of gradients, results" in text
    assert "seconds: torch forward 0.5, layers 1.2, at most 812 MiB" in text


def test_a_cause_goes_before_what_came_earlier():
    follows = finding("earlier", "Conv", FAR, role="consequence", pattern="noise")
    own = finding("later", "Conv", FAR, role="cause", pattern="noise", usual_cause="because")
    text = table([Run("jittor", "torch", [follows, own])])
    assert "first at later" in text and "why: because" in text


def test_many_causes_are_cut_short():
    failures = [finding(f"layer{i}", "Conv", FAR, pattern="noise") for i in range(MOST_CAUSES + 4)]
    text = table([Run("jittor", "torch", failures)])
    assert f"layer{MOST_CAUSES} (Conv)" in text and f"layer{MOST_CAUSES + 1} (Conv)" not in text
    assert "and 3 more" in text and "consequences: 0" in text


def test_passing_takes_a_comparison_and_no_failure(runs):
    reference, good, faulty, missing = runs
    assert passed([good]) and passed([reference, good, missing])
    assert not passed(runs) and not passed([faulty])
    assert not passed([missing]) and not passed([reference]) and not passed([reference, missing]) and not passed([])
    nothing = Run("jittor", "torch")
    assert not passed([good, nothing])
    assert "not run: jittor: nothing was compared" in table([good, nothing])
    assert "nothing was compared" not in table([reference, good])


def test_json_is_strict_and_complete(runs, tmp_path):
    def refuse(token: str):
        raise AssertionError(f"{token} is no JSON")

    write_json(tmp_path / "deep" / "parity.json", runs)
    found = json.loads((tmp_path / "deep" / "parity.json").read_text(), parse_constant=refuse)
    assert found["passed"] is False
    assert [run["passed"] for run in found["runs"]] == [None, True, False, None]
    assert found["runs"][0]["seconds"] == {"forward": 0.5, "layers": 1.25}
    assert found["runs"][1]["first"] is None
    assert found["runs"][2]["first"]["name"] == "backbone.bn1"
    assert found["runs"][2]["gates"]["2 losses"] == "FAILED 1"
    assert found["runs"][3]["not_run"] == "MindSpore is not installed"
    assert found["runs"][2]["findings"][2]["difference"] == {
        "largest": "inf",
        "frobenius": "inf",
        "cosine": "nan",
        "within": 0.5,
    }
    kept = [item for run in runs for item in run.findings if item.difference is not BROKEN]
    read = [item for run in found["runs"] for item in run["findings"] if item["name"] != "a<b>&'\""]
    assert read == [asdict(item) for item in kept]


class Page(HTMLParser):
    """The text of a page, its tags, and whether they are closed in order."""

    def __init__(self):
        super().__init__()
        self.tags, self.open, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_whole_escaped_and_needs_nothing_else(runs, tmp_path):
    write_html(tmp_path / "parity.html", runs)
    written = (tmp_path / "parity.html").read_text()
    assert "a<b>" not in written and "<here>" not in written
    page = Page()
    page.feed(written)
    assert page.open == []
    text = "\n".join(page.text)
    assert "a<b>&'\"" in text and "3 NaN <here>" in text
    assert not any(name in ("src", "href") for _, attributes in page.tags for name in attributes)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "img"}
    for part in ("jittor against torch", "not run: mindspore: MindSpore is not installed", "consequence", "step 20"):
        assert part in text
    classes = [attributes.get("class") for _, attributes in page.tags]
    assert classes.count("unrun") == 4 + 3  # MindSpore's gates, and those that only jittor was put to
    assert classes.count("failed") == 3
