"""The page in a headless Chromium: with and without a key, by keyboard, in both languages, on a phone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    Route,
    expect,
)

from tests.browser import launch
from tests.integration.stack_site import ANSWERS, DEADLINE_S, ENDLESS_QUESTION, Site
from tests.pictures import draw
from tests.waiting import wait_for

QUESTION = "Count to ten"
WIDE, PHONE = {"width": 1100, "height": 800}, {"width": 360, "height": 740}

# In the page, since the demo model is done within seconds: as soon as something of the answer is drawn.
STOP_AT_ONCE = """new MutationObserver(() => {
  if (document.querySelector(".turn.theirs .said")?.textContent) document.getElementById("chat-stop").click();
}).observe(document.getElementById("chat-log"), { childList: true, subtree: true })"""

# Whatever the tab key has to reach, and where it is, as places in the document.
REACHABLE = """[...document.querySelectorAll("a, button, input, select, textarea, summary, [tabindex='0']")]
  .filter((item) => item.checkVisibility() && !item.disabled)
  .map((item) => [...document.querySelectorAll("*")].indexOf(item))"""
FOCUSED = "[...document.querySelectorAll('*')].indexOf(document.activeElement)"

Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, stack: Site) -> Iterator[Open]:
    """Opens the page in a new profile; afterwards nothing was complained of, and nothing asked from elsewhere."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []
    asked: set[str] = set()

    def complain(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    def start(path: str = "/", **options: Any) -> Page:
        settings: dict[str, Any] = {"locale": "en-US", "viewport": WIDE, **options}
        context = browser.new_context(**settings)
        context.set_default_timeout(DEADLINE_S * 1000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", complain)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.add(request.url))
        page.goto(stack.url + path)
        return page

    yield start
    for context in contexts:
        assert context.cookies() == []
        context.close()
    assert complaints == []
    assert {urlsplit(url).netloc for url in asked} <= {urlsplit(stack.url).netloc}
    assert not [url for url in asked if stack.keys["GATEWAY_KEY"] in url]


def unlock(page: Page, key: str, *, keep: bool = False) -> None:
    """Type the key, as a person does."""
    page.locator("#key").fill(key)
    if keep:
        page.locator("#key-keep").check()
    page.locator("#key").press("Enter")
    expect(page.locator("#keyed")).to_be_visible()
    expect(page.locator("#models th").first).to_be_visible()


def ask(page: Page, text: str) -> None:
    page.locator("#chat-input").fill(text)
    page.locator("#chat-input").press("Enter")


def ask_for_the_likeliest(page: Page) -> None:
    """Send every chat on with a temperature of 0, so that the demo model says what it always says."""

    def send(route: Route) -> None:
        route.continue_(post_data=json.dumps({**(route.request.post_data_json or {}), "temperature": 0}))

    page.route("**/v1/chat/completions", send)


def read_stores(page: Page) -> list[dict[str, str]]:
    stores: list[dict[str, str]] = page.evaluate("[{...sessionStorage}, {...localStorage}]")
    return stores


def test_without_javascript_addresses_and_settings_are_there(open_page: Open, stack: Site) -> None:
    page = open_page(java_script_enabled=False)
    expect(page.locator("dd code").first).to_have_text(f"{stack.url}/v1")
    expect(page.get_by_text("Without JavaScript")).to_be_visible()
    expect(page.locator("#key-form")).to_be_hidden()
    expect(page.locator("button:visible")).to_have_count(0)
    page.locator("#tool-codex summary").click()
    expect(page.locator("#tool-codex code").last).to_contain_text(f'base_url = "{stack.url}/v1"')
    expect(page.locator("#tool-codex code").last).to_contain_text('model = "<MODEL>"')
    page.get_by_role("link", name="한국어").click()
    expect(page.locator("h1")).to_have_text("로컬 AI 게이트웨이")


def test_a_key_opens_models_settings_and_use_and_stays_in_the_tab(open_page: Open, stack: Site) -> None:
    page, key = open_page(), stack.keys["GATEWAY_KEY"]
    expect(page.get_by_text("Without JavaScript")).to_be_hidden()
    draw(page, "page-start")
    expect(page.locator("#keyed")).to_be_hidden()
    unlock(page, key)
    expect(page.locator("#key-state")).to_have_text("The key of client is in use.")
    with stack.client() as client:
        context = client.get("/v1/models/local-chat").json()["context_length"]
    expect(page.locator("#models tr", has_text="local-chat")).to_contain_text(f"{context:,}")
    expect(page.locator("#models tr", has_text="local-embed")).to_contain_text("vectors")
    page.locator("#tool-codex summary").click()
    code = page.locator("#tool-codex code").last
    expect(code).to_contain_text(f'model = "local-chat"\nmodel_provider = "stack"\nmodel_context_window = {context}\n')
    expect(page.locator("#tool-codex .warning")).to_contain_text(f"local-chat has {context:,}")
    expect(page.locator("#tool-continue")).to_contain_text("model: local-embed")
    assert key not in page.content()
    page.locator("#tools-reveal").check()
    expect(code).to_contain_text(f'experimental_bearer_token = "{key}"')
    assert key not in page.url
    assert read_stores(page) == [{}, {}]
    page.reload()
    expect(page.locator("#keyed")).to_be_hidden()
    expect(page.locator("#key-form")).to_be_visible()


def test_a_key_that_is_kept_is_there_until_it_is_forgotten(open_page: Open, stack: Site) -> None:
    page, key = open_page(), stack.keys["GATEWAY_KEY"]
    unlock(page, key, keep=True)
    assert read_stores(page) == [{"gateway-key": key}, {}]
    page.reload()
    expect(page.locator("#models th").first).to_be_visible()
    page.get_by_role("button", name="Forget the key").click()
    expect(page.locator("#key-state")).to_have_text("The key is forgotten.")
    expect(page.locator("#key")).to_be_focused()
    assert read_stores(page) == [{}, {}]
    assert key not in page.content()
    assert page.locator("#models tr, #usage tr, #chat-model option").count() == 0
    page.locator("#tool-codex summary").click()
    expect(page.locator("#tool-codex code").last).to_contain_text('model = "<MODEL>"')


def test_a_wrong_key_is_refused_in_words_and_not_kept(browser: Browser, stack: Site) -> None:
    page = browser.new_page(locale="ko-KR")
    page.goto(stack.url)
    page.locator("#key").fill("sk-wrong")
    page.locator("#key-keep").check()
    page.locator("#key").press("Enter")
    expect(page.locator("#key-state")).to_have_text("게이트웨이가 이 키를 받지 않습니다.")
    assert read_stores(page) == [{}, {}]
    page.close()


def test_a_chat_streams_from_the_model_and_counts(open_page: Open, stack: Site) -> None:
    page = open_page()
    ask_for_the_likeliest(page)
    unlock(page, stack.keys["GATEWAY_KEY"])
    page.locator("#chat-input").press_sequentially("Count")
    page.locator("#chat-input").press("Shift+Enter")
    expect(page.locator("#chat-input")).to_have_value("Count\n")
    ask(page, QUESTION)
    expect(page.locator("#chat-state")).to_have_text("The answer is complete.")
    expect(page.locator(".turn.mine .said")).to_have_text(QUESTION)
    expect(page.locator(".turn.theirs .said")).to_have_text(ANSWERS[QUESTION])
    expect(page.locator(".turn.theirs .aside")).to_have_text(re.compile(r"\d+ tokens, [\d.,]+ a second"))
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator(".turn")).to_have_count(0)
    assert read_stores(page) == [{}, {}]

    def is_counted() -> bool:
        with stack.client() as client:
            return bool(client.get("/usage").json()["total"]["completion_tokens"])

    wait_for(is_counted, "the answer in the usage")
    page.get_by_role("button", name="Forget the key").click()
    unlock(page, stack.keys["GATEWAY_KEY"])
    expect(page.locator("#usage tr")).not_to_have_count(0)
    ask(page, QUESTION)
    expect(page.locator(".turn.theirs .aside")).not_to_be_empty()
    draw(page.locator("#keyed"), "page-chat")
    expect(page.locator("#busy tr", has_text="inference-chat")).to_contain_text("of")


def test_an_answer_can_be_stopped_and_frees_its_slot(open_page: Open, stack: Site) -> None:
    page = open_page()
    ask_for_the_likeliest(page)
    unlock(page, stack.keys["GATEWAY_KEY"])
    page.evaluate(STOP_AT_ONCE)
    ask(page, ENDLESS_QUESTION)
    expect(page.locator("#chat-state")).to_have_text("stopped")
    expect(page.locator(".turn.theirs .said")).to_have_text(re.compile(r"\w+"))
    expect(page.get_by_role("button", name="Send")).to_be_enabled()

    def is_free() -> bool:
        with stack.client() as client:
            return not any(slot["leased"] for slot in client.get("/health").json()["slots"].values())

    wait_for(is_free, "a free slot")


def test_by_keyboard_everything_is_reached_in_order(open_page: Open, stack: Site) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="To the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.locator("#key").focus()
    page.keyboard.type(stack.keys["GATEWAY_KEY"])
    page.keyboard.press("Enter")
    expect(page.locator("#key-forget")).to_be_focused()
    expect(page.locator("#models th").first).to_be_visible()
    page.locator("a.skip").focus()
    wanted = page.evaluate(REACHABLE)
    reached = [page.evaluate(FOCUSED)]
    for _ in wanted[1:]:
        page.keyboard.press("Tab")
        reached.append(page.evaluate(FOCUSED))
    assert reached == wanted


def test_a_screen_reader_is_told_what_is_what(open_page: Open, stack: Site) -> None:
    page = open_page()
    ask_for_the_likeliest(page)
    unlock(page, stack.keys["GATEWAY_KEY"])
    for name in ("Models", "Chat", "What this key used", "Settings of each tool"):
        expect(page.get_by_role("region", name=name)).to_have_count(1)
    expect(page.get_by_role("columnheader", name="Slots in use")).to_be_visible()
    expect(page.get_by_role("rowheader", name="local-chat")).to_be_visible()
    page.get_by_role("textbox", name="Message").fill(QUESTION)
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("status").filter(has_text="The answer is complete.")).to_have_count(1)
    expect(page.get_by_role("group", name="Conversation")).to_contain_text(ANSWERS[QUESTION])


def test_what_is_copied_is_what_is_shown(browser: Browser, stack: Site) -> None:
    context = browser.new_context(locale="en-US", permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(stack.url)
    button = page.locator("dd button").first
    button.click()
    expect(button).to_have_text("Copied")
    expect(page.locator("#spoken")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == f"{stack.url}/v1"
    context.close()


@pytest.mark.parametrize(
    ("language", "scheme", "size"), [("en", "light", WIDE), ("ko", "dark", PHONE)], ids=["desk", "phone"]
)
def test_axe_finds_nothing_and_nothing_is_wider_than_the_window(
    open_page: Open, stack: Site, language: str, scheme: str, size: dict[str, int]
) -> None:
    page = open_page(f"/?lang={language}", color_scheme=scheme, viewport=size)
    unlock(page, stack.keys["GATEWAY_KEY"])
    ask(page, QUESTION)
    expect(page.locator(".turn.theirs .aside")).not_to_be_empty()
    expect(page.locator("#chat-stop")).to_be_disabled()
    page.locator("#tool-claude-code summary").click()
    found = Axe().run(page)
    assert found.response["violations"] == [], found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # Korean is broken between words alone.
    assert (page.evaluate("getComputedStyle(document.body).wordBreak") == "keep-all") == (language == "ko")
    if size is PHONE:
        draw(page, "page-phone")


def test_under_a_name_of_another_site_the_browser_is_shown_nothing(playwright: Playwright, stack: Site) -> None:
    browser = launch(playwright, "--host-resolver-rules=MAP evil.example 127.0.0.1")
    try:
        page = browser.new_page()
        for path in ("/", "/page/app.js"):
            answer = page.goto(f"http://evil.example:{urlsplit(stack.url).port}{path}")
            assert answer is not None
            assert (answer.status, answer.json()["error"]["code"]) == (421, "unknown_host")
    finally:
        browser.close()
