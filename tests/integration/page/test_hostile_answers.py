"""What a model writes, drawn by the page: Markdown that people write, and text that was written to do harm.

The answers take the place of the gateway's in the browser's network, so that each is exactly what a test says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, Page, Route, expect

from tests.integration.stack_site import DEADLINE_S, Site

HOSTILE = """\
<script>window.harmed = 1</script><img src=x onerror="window.harmed = 2"><svg onload="window.harmed = 3"></svg>
<iframe srcdoc="<script>parent.harmed = 4</script>"></iframe><style>body { display: none }</style>
<a href="javascript:window.harmed = 5">x</a> <form action="https://evil.example"><button>x</button></form>

[one](javascript:window.harmed=6) [two]( JaVaScRiPt:window.harmed=7 ) [three](data:text/html,<script>1</script>)
[four](vbscript:x) [five](//evil.example/x) [six](/admin) [seven](https://good.example@evil.example/)
[eight](java\tscript:window.harmed=8) [nine](<javascript:window.harmed=9>) [ten](blob:https://evil.example/x)
![beacon](https://evil.example/beacon.png) ![](javascript:window.harmed=10) [![x](https://evil.example/y.png)](javascript:1)
<https://evil.example/"onmouseover="window.harmed=11> https://evil.example/"onmouseover="window.harmed=12
[fine](https://good.example/a?b=c) https://good.example/bare. [mail](mailto:a@good.example)

```html" onmouseover="window.harmed=13
<script>window.harmed = 14</script>
```

| <img src=x onerror=window.harmed=15> | [x](javascript:window.harmed=16) |
|---|---|
| <b onclick=window.harmed=17>x</b> | `<script>window.harmed = 18</script>` |
"""
HUGE = {
    "one long line": "x" * 1_000_000,
    "marks that never close": "**a __b ~~c [d](e `f " * 20_000,
    "lines of marks": ("**" * 900 + "[" * 900 + "`" * 7 + "\n") * 300,
    "deep quotes": (">" * 3000 + "\n") * 300,
    "deep lists": "".join(" " * depth + "- x\n" for depth in range(1000)),
    "many rows": "|a|b|\n|-|-|\n" + "|c|d|\n" * 5000,
}
# Text, and the HTML that its elements are.
MARKDOWN = {
    "a **b** *c* `d < e` ~~f~~": "<p>a <strong>b</strong> <em>c</em> <code>d &lt; e</code> <del>f</del></p>",
    "snake_case_name and 2 * 3 * 4": "<p>snake_case_name and 2 * 3 * 4</p>",
    "## Title\ntext": "<p><strong>Title</strong></p><p>text</p>",
    "one\ntwo\n\nthree": "<p>one\ntwo</p><p>three</p>",
    "- a\n  - b\n- c": "<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>",
    "3. a\n4. b": '<ol start="3"><li>a</li><li>b</li></ol>',
    "> a\n> b": "<blockquote><p>a\nb</p></blockquote>",
    "---": "<hr>",
    "```python\na < b\n\n# **c**\n```\nafter": '<div><p class="language">python</p><pre tabindex="0"><code>a &lt; b\n\n'
    "# **c**</code></pre></div><p>after</p>",
    "```\nnot closed": '<pre tabindex="0"><code>not closed</code></pre>',
    "|a|b|\n|-|:-:|\n|c|`d`|": '<table><thead><tr><th scope="col">a</th><th scope="col">b</th></tr></thead><tbody>'
    "<tr><td>c</td><td><code>d</code></td></tr></tbody></table>",
    r"\*a\* \<b>": "<p>*a* &lt;b&gt;</p>",
    "![a](https://x.example/y.png)": "<p>[picture: a]</p>",
    "**한글**입니다": "<p><strong>한글</strong>입니다</p>",
}
LINK = '<a href="{0}" title="{0}" target="_blank" rel="noopener noreferrer nofollow">{1}</a>'


@pytest.fixture(scope="module")
def drawing(browser: Browser, stack: Site) -> Iterator[Page]:
    """A page on which texts are drawn without a chat."""
    page = browser.new_page()
    page.goto(stack.url)
    yield page
    page.close()


@pytest.fixture
def page(browser: Browser, stack: Site) -> Iterator[Page]:
    """The page with a key in use; it must not have asked anybody else, nor opened anything."""
    page = browser.new_page(locale="en-US")
    page.set_default_timeout(DEADLINE_S * 1000)
    asked: list[str] = []
    opened: list[object] = []

    def dismiss(dialog: Dialog) -> None:
        opened.append(dialog)
        dialog.dismiss()

    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", dismiss)
    page.context.on("page", lambda more: opened.append(more))
    page.goto(stack.url)
    page.locator("#key").fill(stack.keys["GATEWAY_KEY"])
    page.locator("#key").press("Enter")
    expect(page.locator("#chat-input")).to_be_visible()
    yield page
    assert page.evaluate("window.harmed") is None
    assert [url for url in asked if not url.startswith(stack.url)] == []
    assert opened == []
    page.close()


def answer_with(page: Page, *deltas: dict[str, Any], status: int = 200, tail: str = "data: [DONE]\n\n") -> None:
    """Let every chat be answered so."""
    events = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + tail

    def fulfill(route: Route) -> None:
        route.fulfill(status=status, content_type="text/event-stream", body=body)

    page.route("**/v1/chat/completions", fulfill)


END = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
ENDED = f"data: {json.dumps(END)}\n\ndata: [DONE]\n\n"


def ask(page: Page) -> None:
    page.locator("#chat-input").fill("x")
    page.locator("#chat-input").press("Enter")
    expect(page.locator("#chat-stop")).to_be_disabled()


def render(page: Page, text: str) -> str:
    """The HTML of what the page makes of a text."""
    html: str = page.evaluate(
        """async (text) => {
          const { renderMarkdown } = await import("/page/markdown.js");
          const box = document.createElement("div");
          box.append(renderMarkdown(text, "picture"));
          return box.innerHTML;
        }""",
        text,
    )
    return html


def test_what_was_written_to_do_harm_is_text(page: Page) -> None:
    answer_with(page, {"content": HOSTILE, "reasoning_content": HOSTILE}, tail=ENDED)
    ask(page)
    said = page.locator(".turn.theirs")
    expect(said).to_contain_text("<script>window.harmed = 1</script>")
    names = set(said.evaluate("(box) => [...box.querySelectorAll('*')].map((item) => item.localName)"))
    assert names <= {"p", "div", "a", "code", "pre", "table", "thead", "tbody", "tr", "th", "td", "details", "summary"}
    attributes = set(
        said.evaluate("(box) => [...box.querySelectorAll('*')].flatMap((item) => item.getAttributeNames())")
    )
    assert attributes <= {"class", "href", "title", "target", "rel", "scope", "tabindex"}
    links = said.evaluate("(box) => [...box.querySelectorAll('a')].map((item) => item.getAttribute('href'))")
    assert set(links) == {
        "https://evil.example/",
        "https://good.example/a?b=c",
        "https://good.example/bare",
        "mailto:a@good.example",
    }
    for element in said.locator("a, code, td, summary").all():
        element.dispatch_event("mouseover")
    assert page.locator("body").is_visible()


@pytest.mark.parametrize("name", HUGE)
def test_text_without_end_or_measure_is_drawn_in_a_moment(page: Page, name: str) -> None:
    answer_with(page, {"content": HUGE[name]}, tail=ENDED)
    ask(page)
    expect(page.locator("#chat-state")).to_have_text("The answer is complete.")
    assert page.locator(".turn.theirs .said").evaluate("(box) => box.textContent.length") > 1000


@pytest.mark.parametrize(("text", "html"), MARKDOWN.items())
def test_markdown_that_people_write(drawing: Page, text: str, html: str) -> None:
    assert render(drawing, text) == html


def test_links_lead_where_they_say_and_tell_nobody(drawing: Page) -> None:
    assert render(drawing, "[a **b**](https://x.example/c)") == (
        f"<p>{LINK.format('https://x.example/c', 'a <strong>b</strong>')}</p>"
    )
    assert (
        render(drawing, "see https://x.example/d.")
        == f"<p>see {LINK.format('https://x.example/d', 'https://x.example/d')}.</p>"
    )
    assert render(drawing, "[a](ftp://x.example/)") == "<p>[a](ftp://x.example/)</p>"


def test_no_text_can_become_markup_or_script(drawing: Page) -> None:
    for attempt in ("document.body.innerHTML = '<b>x</b>'", "document.createElement('script').text = '1'"):
        message = drawing.evaluate(f"() => {{ try {{ {attempt}; return '' }} catch (error) {{ return error.name }} }}")
        assert message == "TypeError", attempt


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"status": 429, "tail": json.dumps({"error": {"message": "Key 'ann' is over its limit."}})}, "over its limit"),
        ({"tail": 'data: {"error": {"message": "The server is gone."}}\n\n'}, "The server is gone."),
        ({"tail": ""}, "The answer ended early."),
        ({"tail": "data: {not json\n\n"}, re.compile(".+")),
    ],
)
def test_an_answer_that_fails_says_why_and_the_next_one_can_be_asked_for(page: Page, options: Any, said: Any) -> None:
    answer_with(page, **options)
    ask(page)
    expect(page.locator(".turn.theirs .failed")).to_contain_text(said)
    expect(page.locator("#chat-input")).to_have_value("x")
    expect(page.get_by_role("button", name="Send")).to_be_enabled()
