"""A browser without a window, for the tests of pages."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """The browser that the system has."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    assert path, "there is no browser: apt-get install chromium"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield opened
        opened.close()


@contextmanager
def open_page(browser: Browser, file: Path, width: int, height: int = 900) -> Iterator[Page]:
    """A page in a window of this size; it fails the test at its end if the browser had a complaint."""
    opened = browser.new_page(viewport={"width": width, "height": height})
    complaints = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("requestfailed", lambda asked: complaints.append(asked.url[:80]))
    opened.goto(file.as_uri())
    yield opened
    opened.close()
    assert complaints == []
