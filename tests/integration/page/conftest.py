"""What tests of the page share: a browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Playwright, expect, sync_playwright

from tests.browser import find_browser, launch
from tests.integration.stack_site import DEADLINE_S


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """Of one file: as long as it runs, asyncio's loop is taken in this thread."""
    find_browser()
    expect.set_options(timeout=DEADLINE_S * 1000)
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """A Chromium without a window."""
    running = launch(playwright)
    yield running
    running.close()
