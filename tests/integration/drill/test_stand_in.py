"""The stand-in provider over sockets: what a client of a provider that fails sees, and what the provider remembers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from stackctl.adapters.http.stand_in import StandIn, hold_refusing_port, hold_silent_port, run_stand_in
from stackctl.adapters.http.stand_in_certificate import make_untrusted_context
from stackctl.core.drill.behaviour import Behaviour
from stackctl.core.drill.faults import FAULTS, OK
from tests.waiting import wait_for

CHAT = "/v1/chat/completions"


@pytest.fixture
def provider() -> Iterator[StandIn]:
    with run_stand_in() as running:
        yield running


def ask(provider: StandIn, model: str, **options: bool) -> httpx.Response:
    with httpx.Client(timeout=10) as client:
        return client.post(provider.url + CHAT, json={"model": model, "messages": [], **options})


def test_requests_are_served_as_scripted_and_then_like_the_last(provider: StandIn) -> None:
    provider.script("m", FAULTS["503-openai"], FAULTS["empty"], OK)
    answers = [ask(provider, "m") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [503, 200, 200, 200]
    assert answers[1].content == b""
    assert answers[3].json()["choices"][0]["message"]["content"] == "one two three four"
    seen = provider.seen("m")
    assert seen.count == 4
    assert seen.requests[0].fields == {"model": "m", "messages": []}
    assert provider.seen("n").count == 0


def test_a_reset_and_a_cut_are_seen_as_such(provider: StandIn) -> None:
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        ask(provider, "reset")
    for name in ("cut-after", "reset-after"):
        with (
            httpx.Client(timeout=10) as client,
            client.stream("POST", provider.url + CHAT, json={"model": name, "stream": True}) as answer,
        ):
            pieces: list[str] = []
            with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
                pieces.extend(answer.iter_text())
        assert " two" in "".join(pieces), name
        assert " three" not in "".join(pieces), name


def test_a_connection_serves_several_requests(provider: StandIn) -> None:
    with httpx.Client(timeout=10) as client:
        for stream in (False, True, False):
            answer = client.post(provider.url + CHAT, json={"model": "ok", "stream": stream})
            assert answer.status_code == 200
        assert client.post(provider.url + CHAT, json={"model": "closes"}).status_code == 200
        assert provider.connections == 1
        assert client.post(provider.url + CHAT, json={"model": "ok"}).status_code == 200
    assert provider.connections == 2
    assert provider.seen("ok").count == 4


def test_clients_that_leave_are_counted_and_so_are_those_at_once(provider: StandIn) -> None:
    provider.script("m", Behaviour(hang="before_head"))

    def leave(_: int) -> None:
        with pytest.raises(httpx.TimeoutException), httpx.Client() as client:
            client.post(provider.url + CHAT, json={"model": "m"}, timeout=httpx.Timeout(10, read=1))

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(leave, range(5)))
    wait_for(lambda: provider.seen("m").left == 5, "five clients that left")
    assert provider.seen("m").open == 0
    assert provider.seen("m").most_at_once == 5


def test_a_body_in_chunks_and_one_that_waits_to_be_asked_for(provider: StandIn) -> None:
    body = iter([b'{"model": ', b'"chunks"}'])
    with httpx.Client(timeout=10) as client:
        assert client.post(provider.url + CHAT, content=body).status_code == 200
        asked = {"expect": "100-continue"}
        assert client.post(provider.url + CHAT, json={"model": "asked"}, headers=asked).status_code == 200
    assert provider.seen("chunks").count == provider.seen("asked").count == 1


def test_a_line_without_an_end_stops_when_the_client_leaves(provider: StandIn) -> None:
    with (
        httpx.Client(timeout=10) as client,
        client.stream("POST", provider.url + CHAT, json={"model": "endless-line", "stream": True}) as answer,
    ):
        assert any(len(part) > 1000 for part in answer.iter_raw())
    wait_for(lambda: provider.seen("endless-line").left == 1, "the client to be seen leaving")


def test_the_certificate_is_refused() -> None:
    with run_stand_in(tls=make_untrusted_context()) as provider:
        with pytest.raises(httpx.ConnectError, match="certificate"):
            ask(provider, "ok")
        assert provider.total.count == 0
        with httpx.Client(verify=False) as client:
            assert client.post(provider.url + CHAT, json={"model": "ok"}).status_code == 200


def test_ports_that_refuse_and_ports_that_say_nothing() -> None:
    with hold_refusing_port() as refusing, hold_silent_port() as silent:
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{refusing}")
        with pytest.raises(httpx.ConnectTimeout):
            httpx.get(f"http://127.0.0.1:{silent}", timeout=0.5)
