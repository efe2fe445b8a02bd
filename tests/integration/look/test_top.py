"""``stackctl top`` at a real stack: the requests of its window, as JSON, as plain text, and on a terminal."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.integration.conftest import MakeSite
from tests.integration.look.test_terminal import ESCAPE, watch
from tests.integration.stack_site import ENDLESS_QUESTION, Site
from tests.waiting import wait_for


@contextmanager
def ask_on_and_on(stack: Site) -> Iterator[None]:
    """Somebody asks one question after another while the block runs."""
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            stack.run("chat", "What are you?")

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_the_window_s_requests_are_shown(stack: Site) -> None:
    with ask_on_and_on(stack):
        picture = stack.run_json("top", "--interval", "4")
    assert 4 <= picture["window_s"] < 60
    speed = picture["speed"]
    assert speed["requests_per_s"] > 0
    assert speed["tokens_per_s"] > 0
    assert 0 < speed["first_token_p50_s"] <= speed["first_token_p95_s"]
    engines = {item["name"]: item["slots"] for item in picture["engines"]}
    assert engines["inference-chat"] > 0
    model = picture["models"][0]
    assert (model["name"], model["failed"]) == ("local-chat", 0)
    assert model["speed"]["requests_per_s"] == speed["requests_per_s"]
    key = picture["keys"][0]
    assert (key["name"], key["refused"]) == ("client", 0)
    assert {item["name"]: item["state"] for item in picture["targets"]}["local-chat"] == "ok"
    assert picture["disk_free_bytes"] > 0


def test_a_busy_engine_is_seen(stack: Site) -> None:
    asking = stack.spawn("chat", ENDLESS_QUESTION)
    try:
        wait_for(lambda: asking.read(), "the answer to begin")
        picture = stack.run_json("top", "--interval", "0.2")
    finally:
        asking.interrupt()
    chat = next(item for item in picture["engines"] if item["name"] == "inference-chat")
    assert chat["leased"] == 1
    assert picture["in_progress"] == 1


def test_plain_text_where_nobody_watches_and_a_renewed_picture_on_a_terminal(stack: Site) -> None:
    plain = stack.run("top", "--once", "--interval", "0.2").stdout
    assert ESCAPE not in plain
    assert "requests/s" in plain
    assert "inference-chat" in plain
    sent = watch(stack, "top", "--once", "--interval", "0.2", columns=60)
    assert "requests/s" in sent


def test_a_stack_that_does_not_run_is_said(make_site: MakeSite) -> None:
    site = make_site()
    failed = site.run("top", "--once", code=6)
    assert "The stack is not running" in failed.stderr
