"""The page of an evaluation in a browser: on a phone, in the dark, by the keyboard."""

from pathlib import Path

import pytest
from playwright.sync_api import Page

from common.pages.evaluation import write_evaluation
from tests.browser import open_page
from tests.common.pages.made_up_evaluation import made_up_evaluation

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_evaluation(path, made_up_evaluation())
    return path


@pytest.fixture
def page(browser, file) -> Page:
    """The page in a phone's window; it fails the test at its end if the browser had a complaint."""
    with open_page(browser, file, width=390) as opened:
        yield opened


def test_nothing_runs_off_the_screen(page):
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
        heights = page.locator("section").evaluate_all("all => all.map(each => each.clientHeight)")
        assert len(heights) == 4 and min(heights) > 100


def test_every_line_of_the_plot_is_drawn(page):
    sizes = page.locator("polyline").evaluate_all("all => all.map(each => each.getBoundingClientRect().width)")
    assert len(sizes) == 20 and min(sizes) > 250


def test_it_is_dark_where_the_system_is(page):
    grounds = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        read = "each => getComputedStyle(each)"
        ground = page.locator("body").evaluate(f"each => ({read})(each).backgroundColor")
        ink = page.locator("body").evaluate(f"each => ({read})(each).color")
        grounds[scheme] = [sum(map(int, color[4:-1].split(","))) for color in (ground, ink)]
    assert grounds["light"][0] > 700 > 200 > grounds["light"][1]
    assert grounds["dark"][0] < 200 < 600 < grounds["dark"][1]


def test_a_table_is_sorted_by_the_keyboard(page):
    table = page.locator("#mask-classes ~ .wide table.classes")

    def names() -> list[str]:
        return table.locator("tbody th").all_inner_texts()

    before = names()
    head = table.locator("thead button", has_text="AP").first
    head.focus()
    head.press("Enter")
    assert table.locator("thead th").nth(2).get_attribute("aria-sort") == "descending"
    # The one without a figure stays last.
    assert names() == [*before[:0:-1], "person"]
    head.press("Enter")
    assert names() == [*before[1:], "person"]


def test_a_wide_table_can_be_reached_and_moved_by_the_keyboard(page):
    region = page.locator("[role=region][aria-labelledby=box-confusion]")
    region.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.activeElement.scrollLeft > 0")
