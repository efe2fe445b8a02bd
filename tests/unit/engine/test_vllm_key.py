"""The middleware that makes vLLM ask for its key on every route."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
import vllm_key

from stackctl.core.engine.vllm import KEY_MIDDLEWARE, VLLM, VLLM_KEY_VARIABLE

Message = MutableMapping[str, Any]


def call(monkeypatch: pytest.MonkeyPatch, kind: str, path: str, *headers: tuple[bytes, bytes]) -> list[Message]:
    """What is sent for one connection; ``passed on`` where the application was reached."""
    monkeypatch.setenv(VLLM_KEY_VARIABLE, "the-key")
    sent: list[Message] = []

    async def application(scope: Message, receive: object, send: object) -> None:
        sent.append({"type": "passed on"})

    async def receive() -> Message:
        return {}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": kind, "path": path, "headers": list(headers)}
    asyncio.run(vllm_key.RequireKey(application)(scope, receive, send))
    return sent


@pytest.mark.parametrize(
    ("kind", "path", "headers"),
    [
        ("http", "/health", ()),
        ("http", "/v1/chat/completions", ((b"authorization", b"Bearer the-key"),)),
        ("http", "/invocations", ((b"host", b"x"), (b"authorization", b"Bearer the-key"))),
        ("lifespan", "", ()),
    ],
)
def test_whoever_has_the_key_or_asks_for_health_is_passed_on(
    monkeypatch: pytest.MonkeyPatch, kind: str, path: str, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    assert call(monkeypatch, kind, path, *headers) == [{"type": "passed on"}]


@pytest.mark.parametrize(
    "headers",
    [(), ((b"authorization", b"Bearer other"),), ((b"authorization", b"the-key"),), ((b"authorization", b"\xff"),)],
)
@pytest.mark.parametrize("path", ["/invocations", "/v1/models", "/metrics", "/health/../invocations", "/healthz", "/"])
def test_everybody_else_is_refused(
    monkeypatch: pytest.MonkeyPatch, path: str, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    start, body = call(monkeypatch, "http", path, *headers)
    assert start["status"] == 401
    assert b"no valid key was sent" in body["body"]


def test_a_socket_without_the_key_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(monkeypatch, "websocket", "/v1/realtime") == [{"type": "websocket.close", "code": 1008}]


def test_without_a_key_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VLLM_KEY_VARIABLE, raising=False)
    with pytest.raises(KeyError):
        vllm_key.RequireKey(lambda scope, receive, send: asyncio.sleep(0))


def test_the_names_that_vllm_is_given_are_those_of_the_module() -> None:
    module, _, name = KEY_MIDDLEWARE.partition(".")
    assert (module, name) == (vllm_key.__name__, vllm_key.RequireKey.__name__)
    assert {VLLM.health_path} == vllm_key.OPEN_PATHS
    assert vllm_key.KEY_VARIABLE == VLLM_KEY_VARIABLE
