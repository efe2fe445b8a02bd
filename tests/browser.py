"""A headless Chromium for tests of the page: where none is installed, they are skipped, or fail with REQUIRE_APPS=1."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from tests.programs import require_program

# Its own sandbox needs rights that containers have not; what it opens are pages of ours on loopback.
_OPTIONS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking")


def find_browser() -> str:
    """Path of Debian's Chromium."""
    return require_program("chromium", "chromium")


def launch(playwright: Playwright, *options: str) -> Browser:
    """Start one with these options beside our own."""
    return playwright.chromium.launch(executable_path=find_browser(), args=[*_OPTIONS, *options])


@contextmanager
def open_alone(url: str, path: str) -> Iterator[Page]:
    """A page of a service, open until the block ends; it must have loaded nothing from elsewhere and said no error."""
    find_browser()
    asked: list[str] = []
    said: list[str] = []
    with sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page(viewport={"width": 1200, "height": 1000})
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.goto(url + path)
        yield page
        browser.close()
    assert not [address for address in asked if not address.startswith((url, "data:"))]
    assert said == []
