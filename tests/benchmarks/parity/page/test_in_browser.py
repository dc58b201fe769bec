"""The page in a browser: nothing runs off the screen, every picture is there, and the first departure is in sight."""

from pathlib import Path

import pytest
from playwright.sync_api import Page

from benchmarks.parity.page import Heading, versions_of, write_page
from tests.benchmarks.parity.made_up import keep_arrays, made_up_runs
from tests.browser import open_page

WIDTHS = (1280, 400)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    """A page with everything that a page can have."""
    folder, runs = tmp_path_factory.mktemp("page"), made_up_runs()
    long = "a_rather_long_name_without_any_place_to_break_it" * 2
    heading = Heading(long, f"{long}.pth", "ab" * 32, f"images of /{long}", 8, 0, versions_of(["torch", "jittor"]))
    write_page(folder / "parity.html", runs, heading, {"jittor": keep_arrays(folder / "kept", runs[2])})
    return folder / "parity.html"


@pytest.fixture(params=WIDTHS)
def page(browser, file, request) -> Page:
    """The page in a window of this width; it fails the test at its end if the browser had a complaint."""
    with open_page(browser, file, request.param) as opened:
        yield opened


def overflow(page: Page) -> int:
    """The pixels by which the document is wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def test_nothing_runs_off_the_screen(page):
    assert overflow(page) == 0
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert overflow(page) == 0
    wide = "[...document.querySelectorAll('.rows .wide')].every(each => each.clientWidth <= innerWidth)"
    assert page.evaluate(wide)


def test_the_pictures_are_loaded(page):
    sizes = page.evaluate("[...document.images].map(each => [each.complete, each.naturalWidth, each.naturalHeight])")
    assert len(sizes) == 6
    assert all(complete and width > 100 and height > 100 for complete, width, height in sizes)


def test_the_first_departure_is_in_sight(page):
    row = page.locator("#first-jittor")
    assert row.is_visible() and "scale by channel: times 0.5 to 2" in row.inner_text()
    colors = "each => [each, each.parentElement].map(one => getComputedStyle(one).backgroundColor)"
    own, around = row.evaluate(colors)
    assert own != around
    # What is well is closed.
    closed = page.locator(".tree details:has(> summary:has-text('conv1')) > .array").first
    assert closed.count() == 1 and not closed.is_visible()


def test_the_link_leads_to_the_first_departure(page):
    page.get_by_text("Show it in the tree of modules.").click()
    top = page.locator("#first-jittor").bounding_box()["y"]
    assert 0 <= top < 900


def test_the_verdicts_of_a_mode_stand_below_each_other(browser, file):
    page = browser.new_page(viewport={"width": WIDTHS[0], "height": 900})
    page.goto(file.as_uri())
    columns = page.locator(".tree:has(#first-jittor) .mode:visible").evaluate_all(
        "all => all.map(each => each.getBoundingClientRect().x)"
    )
    page.close()
    assert len(columns) > 10 and len(set(columns)) == 2
