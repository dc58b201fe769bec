"""The page is whole, needs nothing else, and says what was compared, what came out and what could not be told."""

import platform
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from benchmarks.machine import describe_machine, package_version
from benchmarks.parity.finding import Run
from benchmarks.parity.page import Heading, sha256_of, versions_of, write_page
from tests.benchmarks.parity.made_up import FAR, FIRST, finding, keep_arrays, made_up_runs

ROOT = Path(__file__).parents[4]
HEADING = Heading("yolact_tiny", machine="an abacus", date="2026-01-02")


class Page(HTMLParser):
    """The text of a page, its tags, and whether they are closed in order."""

    def __init__(self, path: Path):
        super().__init__()
        self.tags, self.open, self.texts = [], [], []
        self.source = path.read_text()
        self.feed(self.source)
        assert self.open == []
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.texts.append(data)

    def classes(self) -> list[str]:
        return [attributes.get("class", "") for _, attributes in self.tags]


@pytest.fixture
def written(tmp_path):
    """written(runs, heading) is their page."""

    def write(runs: list[Run], heading: Heading = HEADING, departures=None) -> Page:
        write_page(tmp_path / "deep/parity.html", runs, heading, departures)
        return Page(tmp_path / "deep/parity.html")

    return write


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Page:
    """The page of all made-up runs, without pictures."""
    path = tmp_path_factory.mktemp("page") / "parity.html"
    write_page(path, made_up_runs(), HEADING)
    return Page(path)


def test_the_page_is_whole_escaped_and_needs_nothing_else(written, tmp_path):
    runs = made_up_runs()
    runs[2].findings[0] = finding("<i>odd</i>", "preprocessing")
    page = written(runs, departures={"jittor": keep_arrays(tmp_path / "kept", runs[2])})
    assert "<i>odd" not in page.source and "a<b>" not in page.source
    assert "<i>odd</i>" in page.text and 'a<b> & "c"' in page.text
    addresses = [value for _, given in page.tags for name, value in given.items() if name in ("src", "href")]
    assert addresses and all(address.startswith(("data:image/", "#")) for address in addresses)
    assert "url(" not in page.source and not {tag for tag, _ in page.tags} & {"script", "link", "iframe"}
    assert [tag for tag, _ in page.tags].count("img") == 2 + 4  # the plots, and as many departures as are drawn


def test_each_gate_of_each_framework_has_its_counts(page):
    table = page.text[page.text.index("Verdicts") : page.text.index("not run: mindspore: MindSpore is not installed")]
    cells = re.findall(r"(passed|failed|cannot tell|not run) (?:passed (\d+), failed (\d+), cannot tell (\d+))?", table)
    verdicts = [(verdict, *counts) for verdict, *counts in cells]
    none = ("not run", "", "", "")
    assert verdicts[0::3][:2] == [("passed", "12", "0", "0"), ("passed", "7", "0", "0")]
    assert verdicts[1::3] == [
        ("failed", "7", "5", "0"),
        ("failed", "6", "1", "0"),
        ("failed", "0", "1", "0"),
        ("passed", "1", "0", "1"),
    ]
    assert verdicts[2::3] == [none] * 4
    assert "not passed" in page.text and "not run: the gates of optimizer steps, results" in page.text
    assert "torch forward 0.5, at most 812 MiB" in page.text


def test_what_passes_says_so_with_its_remarks(written):
    reference, good, *_ = made_up_runs()
    good.findings.append(finding("steps", "update", gate=4, detail="19 of 20 in a row"))
    good.sensitivity = {1: (59, 60)}
    page = written([reference, good])
    assert page.text.startswith("Parity of yolact_tiny: passed") and "not passed" not in page.text
    head = page.text.partition("Error along the depth")[0]
    assert "keras: steps: 19 of 20 in a row" in head and "planted faults found: keras layers 59 of 60" in head
    assert "fault" not in " ".join(page.classes()) and "departs first" not in page.text


def test_the_first_departure_is_told_and_marked_in_the_tree(page):
    assert f"jittor departs from torch first at {FIRST} (Conv; gate 1, layers)" in page.text
    assert [given["id"] for _, given in page.tags if "id" in given] == ["first-jittor"]
    assert ("a", {"href": "#first-jittor"}) in page.tags
    assert "5 consequences" in page.text


def test_a_fault_that_is_no_layers_has_no_place_in_the_tree(written):
    late = [finding("conv"), finding("loss.S", "loss", FAR, gate=2, role="cause")]
    page = written([Run("torch", "torch"), Run("jittor", "torch", late)])
    assert "first at loss.S" in page.text and not any(tag == "a" for tag, _ in page.tags)


def test_what_cannot_be_told_is_listed_and_its_scale_named(page):
    assert "conv.bias (gradient; gate 3, gradients), relative to conv.weight" in page.text
    assert page.text.count("Cannot tell") == 1 and page.text.count("relative to conv.weight") == 2  # and in its row


def test_all_findings_have_a_row_failures_first(written):
    run = made_up_runs()[2]
    page = written([run])
    rows = page.text[page.text.index("All that was compared") :]
    for each in run.findings:
        assert rows.count(each.name) >= 1
    assert rows.index(FIRST) < rows.index("head.conv") < rows.index("preprocessing")
    assert rows.index("conv.bias") < rows.rindex("conv.weight")
    # Of figures, closed: only the path to the first departure is open.
    assert sum("open" in given for tag, given in page.tags if tag == "details") == 4


def test_the_heading_tells_what_was_compared(written, page):
    facts = {"weights": "r50.pth", "weights_sha256": "0123456789abcdef" * 4, "data": "images of /coco"}
    heading = Heading("m", **facts, batch_size=8, seed=0, versions={"torch": "2.0", "NumPy": "1.26"})
    told = written([], heading)
    assert "weights r50.pth, sha256 0123456789ab data images of /coco batch size 8 seed 0" in told.text
    assert "versions torch 2.0; NumPy 1.26" in told.text
    assert f"machine {describe_machine()}" in told.text and re.search(r"date 20\d\d-\d\d-\d\d \d\d:\d\d", told.text)
    assert any(given.get("title") == f"sha256 {facts['weights_sha256']}" for _, given in told.tags)
    head = page.text.partition("Verdicts")[0]
    assert "machine an abacus date 2026-01-02" in head and "seed" not in head


def test_versions_and_machine_are_this_ones(tmp_path):
    versions = versions_of(["torch", "jittor", "keras"])
    assert versions["Python"] == platform.python_version() and versions["NumPy"] == package_version("numpy")
    assert set(versions) >= {"torch", "jittor"} and not {"mindspore", "keras"} & set(versions)
    assert re.search(r"\d+ cores?, \d+ GiB of memory, .*Linux", describe_machine())
    assert package_version("no-such-package") == ""
    assert sha256_of(tmp_path / "missing") == ""
    (tmp_path / "empty").touch()
    assert sha256_of(tmp_path / "empty").startswith("e3b0c44298fc1c14")


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_a_package_that_is_missing_is_named_before_anything_is_done(package, tmp_path):
    words = ["parity", "no_such_model", "--output", str(tmp_path / "out")]
    code = f"import sys; sys.modules[{package!r}] = None; sys.argv = {words!r}; "
    code += "from common.errors import run_command; from benchmarks.parity.__main__ import main; run_command(main)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    line = f"error: the page of a report needs {package}, which is not installed: pip install {package}\n"
    assert done.stderr == line
