"""The page in a browser: every section shows, light and dark, on a phone too, and the filters choose what they say."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page

from benchmarks.report.page import write_report
from tests.benchmarks.report.made_up import IMAGES, write_everything

SECTIONS = ["figures", "parity", "losses", "speed", "growth", "own", "predictions-0", "predictions-1", "missing"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    folder = write_everything(tmp_path_factory.mktemp("out"))
    write_report(folder, folder / "shapes", 24, 0, folder / "report.html")
    return folder / "report.html"


@pytest.fixture
def opened(browser, file):
    """opened(width, scheme) is the page in such a window; the test fails if the browser had a complaint."""
    pages, complaints = [], []

    def open_page(width: int = 1200, scheme: str = "light") -> Page:
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        pages.append(page)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda asked: complaints.append(asked.url[:80]))
        page.on("request", lambda asked: complaints.append(asked.url) if asked.url.startswith("http") else None)
        page.goto(file.as_uri())
        return page

    yield open_page
    for page in pages:
        page.close()
    assert complaints == []


def album_of(page: Page, number: int = 0) -> Locator:
    return page.locator(f"#predictions-{number}")


def chosen(album: Locator) -> int:
    """The number of images in the row from which the reader chooses."""
    return album.locator(".strip button:visible").count()


def shown(album: Locator) -> str:
    """The id of the one image that is shown."""
    pictures = album.locator(".picture:visible")
    assert pictures.count() == 1
    return pictures.get_attribute("id")


def kinds(album: Locator, framework: int) -> list[str]:
    """The kinds of the objects that are drawn in a framework's panel of the image that is shown."""
    objects = album.locator(".picture:visible .framework").nth(framework).locator(".object:visible")
    return sorted(objects.evaluate_all("all => all.map(each => each.dataset.kind)"))


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_every_section_shows(opened, width, scheme):
    page = opened(width, scheme)
    assert page.locator("main > section").evaluate_all("all => all.map(each => each.id)") == SECTIONS
    heights = page.locator("main > section").evaluate_all("all => all.map(each => each.offsetHeight)")
    assert all(height > 60 for height in heights)
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    links = page.locator("nav a").evaluate_all("all => all.map(each => each.getAttribute('href'))")
    assert links == [f"#{name}" for name in SECTIONS]
    page.locator("#losses summary").click()
    sizes = page.locator(".plot > svg").evaluate_all("all => all.map(each => each.getBBox().width)")
    assert len(sizes) == 3 + 2 and all(size > 300 for size in sizes)
    sizes = "all => all.map(each => each.getBBox()).map(({ width, height }) => Math.min(width, height))"
    lines = page.locator("#losses polyline").evaluate_all(sizes)
    assert len(lines) == 9 and all(size > 100 for size in lines)
    bars = page.locator("#speed .bar .fill").evaluate_all("all => all.map(each => each.offsetWidth)")
    assert len(bars) == 3 and 50 < bars[0] < bars[1] < bars[2]
    # The text of a plot is not made too small to be read.
    text = page.locator(".plot text").first.evaluate("each => each.getBoundingClientRect().height")
    assert text >= 10
    paper, ink = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    brightness = [sum(map(int, re.findall(r"\d+", color)[:3])) for color in (paper, ink)]
    assert (brightness[0] > brightness[1] + 400) if scheme == "light" else (brightness[0] < brightness[1] - 400)


def test_the_image_lies_under_every_panel(opened):
    album = album_of(opened())
    boxes = album.locator(".picture:visible .panel svg").evaluate_all(
        "all => all.map(svg => svg.querySelector('image, use').getBoundingClientRect().width)"
    )
    assert len(boxes) == 5 and min(boxes) > 200
    row = album.locator(".strip use").evaluate_all("all => all.map(each => each.getBoundingClientRect().width)")
    assert len(row) == IMAGES and min(row) > 40  # also of the images that are not shown


def test_the_filters_choose_images_and_objects(opened):
    page = opened()
    album = album_of(page)
    assert chosen(album) == IMAGES and shown(album) == "picture-0-0"
    album.get_by_label("kind").select_option("wrong class")
    assert chosen(album) == 1 and (kinds(album, 0), kinds(album, 1)) == ([], ["wrong class"])
    album.get_by_label("kind").select_option("missed")
    assert chosen(album) == 1 and kinds(album, 2) == ["missed"]
    album.get_by_label("kind").select_option("duplicate")
    assert chosen(album) == 1 and kinds(album, 0) == ["duplicate"] and shown(album) != "picture-0-0"
    album.get_by_label("score").fill("0.6")  # the duplicates score 0.5
    assert chosen(album) == 0 and album.locator(".picture:visible").count() == 0
    assert album.locator(".count").inner_text() == "no image fits the filters"
    album.get_by_label("score").fill("0.95")  # everything scores 0.9, so that all is missed
    album.get_by_label("kind").select_option("")
    assert chosen(album) == IMAGES and set(kinds(album, 0)) == {"missed"}
    album.get_by_label("score").fill("0.3")
    album.get_by_label("disagreement").select_option("0")
    assert chosen(album) == 1 and shown(album) == "picture-0-0"
    album.get_by_label("disagreement").select_option("none")
    album.get_by_label("class").select_option("person")
    classes = album.locator(".picture:visible .object:visible").evaluate_all(
        "all => all.map(each => each.dataset.class)"
    )
    assert 0 < chosen(album) < IMAGES and set(classes) == {"0"}
    assert chosen(album_of(page, 1)) == IMAGES  # which has filters of its own


def test_the_keyboard_leads_through_the_images(opened):
    page = opened()
    album = album_of(page)
    album.locator(".next").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-controls')") == "picture-0-0"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    for key, expected in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", IMAGES - 1), ("Home", 0)):
        page.keyboard.press(key)
        assert shown(album) == f"picture-0-{expected}"
        assert page.evaluate("document.activeElement.getAttribute('aria-controls')") == f"picture-0-{expected}"
    page.keyboard.press("ArrowLeft")  # before the first there is none
    assert shown(album) == "picture-0-0" and album.locator(".previous").is_disabled()
    album.get_by_label("score").focus()
    page.keyboard.press("ArrowRight")
    assert shown(album) == "picture-0-0" and album.locator(".threshold").inner_text() == "0.31"


def test_without_scripts_all_images_stand_below_each_other(browser, file):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert album_of(page).locator(".picture:visible").count() == IMAGES
    context.close()
