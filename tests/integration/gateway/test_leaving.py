"""Clients that leave, and more of them than an engine has slots.

A slot is free soon after its client has left, where the answer would have gone on for much longer than a test waits.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.integration.gateway.calling_site import SLOTS
from tests.integration.gateway.tool_clients import Json
from tests.integration.stack_site import DEADLINE_S, Site
from tests.tool_model import FOREVER, PIECES
from tests.waiting import wait_for

# An answer without end fills its context in half a minute at the least.
FREED_WITHIN_S = 10.0
SERVER = "inference-chat"
MESSAGES = [{"role": "user", "content": FOREVER}]
ENDLESS: dict[str, tuple[str, Json]] = {
    "chat": ("/v1/chat/completions", {"messages": MESSAGES}),
    "two choices": ("/v1/chat/completions", {"messages": MESSAGES, "n": SLOTS}),
    "completions": ("/v1/completions", {"prompt": PIECES[0]}),
    "messages": ("/v1/messages", {"messages": MESSAGES, "max_tokens": 1_000_000}),
    "responses": ("/v1/responses", {"input": FOREVER}),
}
both_ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@dataclass(frozen=True)
class Watch:
    """What the gateway and the engine say of their slots, each asked by a client of its own."""

    gateway: httpx.Client
    engine: httpx.Client

    def count_leased(self) -> tuple[int, int]:
        """Requests that hold slots of the gateway, and those that wait for one."""
        line = self.gateway.get("/health").json()["slots"].get(SERVER, {"leased": 0, "waiting": 0})
        return line["leased"], line["waiting"]

    def count_busy(self) -> int:
        """Slots in which the engine computes."""
        return sum(slot["is_processing"] for slot in self._ask("/slots").json())

    def count_deferred(self) -> int:
        """Requests that wait inside the engine."""
        (line,) = (
            row for row in self._ask("/metrics").text.splitlines() if row.startswith("llamacpp:requests_deferred ")
        )
        return int(float(line.split()[1]))

    def _ask(self, path: str) -> httpx.Response:
        return self.engine.get(path).raise_for_status()

    def wait(self, leased: int, waiting: int = 0) -> None:
        """Wait until the gateway says so, and the engine computes just as much."""

        def is_so() -> bool:
            return self.count_leased() == (leased, waiting) and self.count_busy() == leased

        wait_for(is_so, f"{leased} slots leased and busy, {waiting} requests waiting", FREED_WITHIN_S)


@pytest.fixture
def watch(calling_site: Site) -> Iterator[Watch]:
    """The slots; all of them are free before and after a test."""
    with calling_site.client() as gateway, open_engine(calling_site) as engine:
        watch = Watch(gateway, engine)
        watch.wait(0)
        yield watch
        watch.wait(0)


def open_engine(site: Site) -> httpx.Client:
    """A client of the chat engine, which ends kept connections as it likes."""
    return httpx.Client(
        base_url=f"http://127.0.0.1:{site.settings['INFERENCE_PORT']}",
        headers={"Authorization": f"Bearer {site.keys['INFERENCE_API_KEY']}"},
        timeout=DEADLINE_S,
        limits=httpx.Limits(max_keepalive_connections=0),
    )


@contextmanager
def ask_endlessly(site: Site, kind: str, stream: bool) -> Iterator[None]:
    """Send a request whose answer has no end, and leave without reading it."""
    path, fields = ENDLESS[kind]
    connection = http.client.HTTPConnection("127.0.0.1", int(site.settings["API_GATEWAY_PORT"]))
    body = json.dumps({"model": "local-chat", "stream": stream, "temperature": 0, **fields})
    headers = {"Authorization": f"Bearer {site.keys['GATEWAY_KEY']}", "Content-Type": "application/json"}
    connection.request("POST", path, body, headers)
    try:
        yield
    finally:
        connection.close()


@both_ways
@pytest.mark.parametrize("kind", ENDLESS)
def test_a_client_that_leaves_frees_its_slot(calling_site: Site, watch: Watch, kind: str, stream: bool) -> None:
    with ask_endlessly(calling_site, kind, stream):
        watch.wait(SLOTS if kind == "two choices" else 1)
    watch.wait(0)


@both_ways
def test_it_does_so_while_another_answer_goes_on(calling_site: Site, watch: Watch, stream: bool) -> None:
    with ask_endlessly(calling_site, "chat", stream=True):
        watch.wait(1)
        with ask_endlessly(calling_site, "messages", stream):
            watch.wait(2)
        watch.wait(1)


@both_ways
def test_a_client_that_leaves_while_it_waits_never_reaches_the_engine(
    calling_site: Site, watch: Watch, stream: bool
) -> None:
    with ExitStack() as running:
        for _ in range(SLOTS):
            running.enter_context(ask_endlessly(calling_site, "chat", stream=True))
        watch.wait(SLOTS)
        with ask_endlessly(calling_site, "responses", stream):
            watch.wait(SLOTS, waiting=1)
            assert watch.count_deferred() == 0
        watch.wait(SLOTS, waiting=0)


def test_one_that_waits_is_served_when_another_leaves(calling_site: Site, watch: Watch) -> None:
    with ExitStack() as running, ask_endlessly(calling_site, "chat", stream=True):
        for _ in range(SLOTS):
            running.enter_context(ask_endlessly(calling_site, "messages", stream=False))
        watch.wait(SLOTS, waiting=1)
        running.close()
        watch.wait(1)


def test_the_engine_never_gets_more_requests_than_it_has_slots(calling_site: Site, watch: Watch) -> None:
    seen: list[int] = []
    is_over = threading.Event()

    def look() -> None:
        while not is_over.is_set():
            seen.append(watch.count_deferred())

    def ask(number: int) -> Any:
        kind = ("chat", "messages", "responses")[number % 3]
        path, fields = ENDLESS[kind]
        limit = {"max_output_tokens": 300} if kind == "responses" else {"max_tokens": 300}
        with calling_site.client() as client:
            body = {"model": "local-chat", **fields, **limit, "stream": number % 2 == 0}
            return client.post(path, json=body).status_code

    with ThreadPoolExecutor(max_workers=13) as pool:
        looking = pool.submit(look)
        try:
            assert set(pool.map(ask, range(24))) == {200}
        finally:
            is_over.set()
    looking.result()
    assert seen
    assert set(seen) == {0}
