"""A headless Chromium for tests of the page: where none is installed, they are skipped, or fail with REQUIRE_APPS=1."""

from __future__ import annotations

from playwright.sync_api import Browser, Playwright

from tests.programs import require_program

# Its own sandbox needs rights that containers have not; what it opens are pages of ours on loopback.
_OPTIONS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking")


def find_browser() -> str:
    """Path of Debian's Chromium."""
    return require_program("chromium", "chromium")


def launch(playwright: Playwright, *options: str) -> Browser:
    """Start one with these options beside our own."""
    return playwright.chromium.launch(executable_path=find_browser(), args=[*_OPTIONS, *options])
