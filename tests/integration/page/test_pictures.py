"""The pictures of the page in the README: a chat that answers, and a tool's settings, in both languages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.integration.stack_site import ANSWERS, Site
from tests.pictures import are_wanted, draw
from tests.ports import is_free

pytestmark = pytest.mark.skipif(not are_wanted(), reason="pictures are made where STACK_TEST_PICTURES=1 asks for them")
QUESTIONS = {"en": "What are you?", "ko": "너는 누구야?"}
USUAL_PORT = 8000


@pytest.fixture(scope="module")
def usual_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A stack at the address that it has by default, where nobody else has it."""
    site = Site.create(tmp_path_factory.mktemp("site"), EMBEDDING_MODEL="none")
    if is_free(USUAL_PORT):
        site.configure(API_GATEWAY_PORT=str(USUAL_PORT))
    try:
        site.run("up")
        yield site
    finally:
        site.stop()


@pytest.mark.parametrize("language", QUESTIONS)
def test_the_page_in_the_readme(usual_site: Site, browser: Browser, language: str) -> None:
    page = browser.new_page(locale=language, viewport={"width": 860, "height": 800})
    page.goto(f"{usual_site.url}/?lang={language}")
    page.locator("#key").fill(usual_site.keys["GATEWAY_KEY"])
    page.locator("#key").press("Enter")
    expect(page.locator("#models th").first).to_be_visible()
    page.locator("#chat-input").fill(QUESTIONS[language])
    page.locator("#chat-input").press("Enter")
    expect(page.locator(".turn.theirs .said")).to_have_text(ANSWERS[QUESTIONS[language]])
    expect(page.locator(".turn.theirs .aside")).not_to_be_empty()
    page.locator("#key-forget").focus()
    draw(page.locator("section", has=page.locator("#chat-log")), f"page-answer-{language}")
    page.locator("#tool-continue summary").click()
    page.locator("#key-forget").focus()
    draw(page.locator("#tool-continue"), f"page-tool-{language}")
    page.close()
