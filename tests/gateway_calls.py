"""The gate with a scripted application in LiteLLM's place, and ways to call it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, MutableMapping
from typing import Any

import httpx
from gateway.catalog import parse_catalog
from gateway.edge.gate import Gate
from gateway.failures import CURRENT_FAILURE
from gateway.settings import parse_settings

ADMIN, CLIENT = "sk-admin-key-of-the-test", "sk-client-key-of-the-test"
SECRET = "planted-secret-8c1f"
ENVIRONMENT = {"GATEWAY_CONFIG": "c.yaml", "GATEWAY_ADMIN_KEY": ADMIN, "GATEWAY_KEY": CLIENT}
CONFIG = """
model_list:
  - {model_name: local-chat, litellm_params: {model: hosted_vllm/x}, model_info: {mode: chat, max_input_tokens: 4096}}
  - {model_name: org/embed, litellm_params: {model: hosted_vllm/y}, model_info: {mode: embedding}}
"""
CHAT = "/v1/chat/completions"
BODY = {"model": "local-chat", "messages": [{"role": "user", "content": "hi"}]}

Message = MutableMapping[str, Any]
App = Callable[[Any, Any, Any], Any]


class Inner:
    """An ASGI application that answers what a test says and remembers what it was asked."""

    def __init__(
        self,
        status: int = 200,
        chunks: tuple[bytes, ...] = (b"{}",),
        headers: tuple[tuple[bytes, bytes], ...] = (),
        failure: BaseException | None = None,
        raised: BaseException | None = None,
    ) -> None:
        self.status, self.chunks, self.headers = status, chunks, headers
        self.failure, self.raised = failure, raised
        self.scopes: list[Any] = []
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        self.bodies.append((await receive())["body"])
        if self.failure:
            CURRENT_FAILURE.get().exception = self.failure
        if self.raised and not self.chunks:
            raise self.raised
        await send({"type": "http.response.start", "status": self.status, "headers": list(self.headers)})
        for chunk in self.chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if self.raised:
            raise self.raised
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def build_gate(inner: App | None = None, **changes: str) -> Gate:
    return Gate(inner or Inner(), parse_settings({**ENVIRONMENT, **changes}), parse_catalog(CONFIG), list)


def call(gate: Gate, method: str, path: str, key: str | None = CLIENT, **options: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    headers |= options.pop("headers", {})

    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(gate)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return await client.request(method, path, headers=headers, **options)

    return asyncio.run(run())


def call_raw(gate: Gate, body: bytes = b"", **facts: object) -> list[Message]:
    """One chat request at the level of ASGI, with these further facts in its scope; returns every message sent."""
    sent: list[Message] = []
    headers = [(b"authorization", f"Bearer {CLIENT}".encode())]
    scope = {"type": "http", "method": "POST", "path": CHAT, "headers": headers, "query_string": b"", **facts}

    async def receive() -> Message:
        return {"type": "http.request", "body": body or json.dumps(BODY).encode(), "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(gate(scope, receive, send))
    return sent


def error_of(response: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error
