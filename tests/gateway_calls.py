"""The gate with a scripted router behind it, and ways to call it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from pathlib import Path
from typing import Any

import httpx
from gateway.catalog.parse import parse_catalog
from gateway.catalog.values import Route, Target
from gateway.edge.gate import Gate
from gateway.edge.parts import build_parts
from gateway.formats.call import Call
from gateway.lanes.reply import Reply
from gateway.queue.slots import Slots
from gateway.settings import parse_settings

ADMIN, CLIENT = "sk-admin-key-of-the-test", "sk-client-key-of-the-test"
SECRET = "planted-secret-8c1f"
ENVIRONMENT = {"GATEWAY_CONFIG": "c.yaml", "GATEWAY_ADMIN_KEY": ADMIN, "GATEWAY_KEY": CLIENT}
CONFIG = """
model_list:
  - model_name: local-chat
    litellm_params: {model: hosted_vllm/x, api_base: "http://127.0.0.1:9/v1"}
    model_info: {mode: chat, max_input_tokens: 4096}
  - model_name: org/embed
    litellm_params: {model: hosted_vllm/y, api_base: "http://127.0.0.1:9/v1"}
    model_info: {mode: embedding}
gateway:
  aliases: [{match: "claude-*", route: local-chat}]
"""
CHAT = "/v1/chat/completions"
BODY = {"model": "local-chat", "messages": [{"role": "user", "content": "hi"}]}

Message = MutableMapping[str, Any]


class ScriptedRouter:
    """Answers what a test says and remembers what it was asked.

    Args:
        chunks: streamed; none answers ``{}`` in one piece.
        raised: raised after the chunks.
        is_streamed: whether an error can end what was begun.
    """

    def __init__(
        self, chunks: tuple[bytes, ...] = (), raised: BaseException | None = None, is_streamed: bool = False
    ) -> None:
        self.chunks, self.raised, self.is_streamed = chunks, raised, is_streamed
        self.calls: list[Call] = []

    async def serve(self, call: Call, route: Route, reply: Reply) -> None:
        self.calls.append(call)
        if self.is_streamed:
            reply.fail = lambda error: f"data: {error.code}\n\n".encode()
        for chunk in self.chunks:
            await reply.write(chunk)
        if self.raised:
            raise self.raised
        if self.chunks:
            await reply.end()
        else:
            await reply.whole(b"{}")

    async def describe(self, targets: Iterable[Target]) -> dict[str, Any]:
        return {"targets": [], "slots": {}}


class StartedGate:
    """A gate that is started for each call, as uvicorn starts it.

    Args:
        state: path of its database; None for a gate that keeps nothing.
    """

    def __init__(self, router: ScriptedRouter, changes: dict[str, str], config: str, state: Path | None) -> None:
        catalog = parse_catalog(config, {})
        settings = parse_settings({**ENVIRONMENT, **changes})
        self.gate = Gate(
            settings, catalog, lambda: build_parts(router, Slots(), state, settings.usage_days, (self._close,))
        )
        self.was_closed = False

    async def _close(self) -> None:
        self.was_closed = True

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        steps = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

        async def get() -> Message:
            step = next(steps)
            if step["type"] == "lifespan.shutdown":
                await self.gate(scope, receive, send)
            return step

        async def ignore(message: Message) -> None:
            pass

        await self.gate({"type": "lifespan"}, get, ignore)


def build_gate(
    router: ScriptedRouter | None = None, config: str = CONFIG, state: Path | None = None, **changes: str
) -> StartedGate:
    return StartedGate(router or ScriptedRouter(), changes, config, state)


def call(gate: StartedGate, method: str, path: str, key: str | None = CLIENT, **options: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    headers |= options.pop("headers", {})

    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(gate)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return await client.request(method, path, headers=headers, **options)

    return asyncio.run(run())


Receive = Callable[[], Awaitable[Message]]


def call_raw(gate: StartedGate, receive: Receive | None = None, **facts: object) -> list[Message]:
    """One chat request at the level of ASGI, with these further facts in its scope; returns every message sent."""
    sent: list[Message] = []
    headers = [(b"authorization", f"Bearer {CLIENT}".encode())]
    scope = {"type": "http", "method": "POST", "path": CHAT, "headers": headers, "query_string": b"", **facts}
    asked = iter([json.dumps(BODY).encode()])

    async def read() -> Message:
        body = next(asked, None)
        if body is None:
            await asyncio.Event().wait()  # the client stays
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(gate(scope, receive or read, send))
    return sent


def error_of(response: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error
