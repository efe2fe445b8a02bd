"""What tests of content logging share: a scripted server, the real gateway before it, and what is on the disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from stackctl.adapters.process.drill_gateway import DrillGateway
from tests.http_server import QuietHandler, serve_http
from tests.integration.gateway.drilled import run_gateway
from tests.waiting import wait_for

CONFIG = """\
model_list:
  - model_name: logged
    litellm_params: {{model: openai/a, api_base: "http://{place}/v1", api_key: key-of-the-provider-7f31}}
    model_info: {{mode: chat}}
  - model_name: quiet
    litellm_params: {{model: openai/b, api_base: "http://{place}/v1", api_key: key-of-the-provider-7f31}}
    model_info: {{mode: chat}}
  - model_name: vectors
    litellm_params: {{model: openai/c, api_base: "http://{place}/v1", api_key: key-of-the-provider-7f31}}
    model_info: {{mode: embedding}}
gateway:
  content_log: {{keep_days: 7, keep_mb: 100, masks: {masks}}}
  providers:
    p: {{kind: openai-compatible, local: true, timeouts: {{connect: 5, first_token: 20, whole: 20}}}}
  models: {{logged: {{provider: p}}, quiet: {{provider: p}}, vectors: {{provider: p}}}}
  routes:
    logged: {{targets: [logged], retries: 0, deadline_s: 30}}
    quiet: {{targets: [quiet], retries: 0, deadline_s: 30}}
"""


class Scripted(QuietHandler):
    """A server that streams what its test set, or refuses with it."""

    pieces: tuple[str, ...] = ("pong",)
    arguments: tuple[str, ...] = ()
    refusal: tuple[int, bytes] | None = None

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.refusal:
            self._send(*self.refusal, "application/json")
        elif self.path.endswith("/embeddings"):
            data = [{"object": "embedding", "index": 0, "embedding": [0.5] * 32}]
            usage = {"prompt_tokens": 1, "total_tokens": 1}
            body = {"object": "list", "model": "x", "data": data, "usage": usage}
            self._send(200, json.dumps(body).encode(), "application/json")
        else:
            self._stream()

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        is_chat = self.path.endswith("/chat/completions")
        for delta in self._list_deltas():
            said = {"delta": delta} if is_chat else {"text": delta.get("content", "")}
            self._write([{"index": 0, **said, "finish_reason": None}])
        last: dict[str, Any] = {"delta": {}} if is_chat else {"text": ""}
        self._write([{"index": 0, **last, "finish_reason": "tool_calls" if self.arguments else "stop"}])
        self._write([], usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2})
        self.wfile.write(b"data: [DONE]\n\n")

    def _list_deltas(self) -> Iterator[dict[str, Any]]:
        yield {"role": "assistant", "content": ""}
        for piece in self.pieces:
            yield {"content": piece}
        for number, piece in enumerate(self.arguments):
            named: dict[str, Any] = {"id": "call_1", "type": "function"} if not number else {}
            function = {"arguments": piece} | ({"name": "send"} if not number else {})
            yield {"tool_calls": [{"index": 0, **named, "function": function}]}

    def _write(self, choices: list[dict[str, Any]], **more: Any) -> None:
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "x", "choices": choices, **more}
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())


@dataclass
class ContentSite:
    """A running gateway, its server, and the folder of its state."""

    gateway: DrillGateway
    server: type[Scripted]
    state: Path

    def order(self, name: str, **fields: Any) -> Any:
        """Have the operator's action done."""
        headers = {"Authorization": f"Bearer {self.gateway.admin_key}"}
        body = {"do": name, **fields}
        answer = httpx.post(f"{self.gateway.url}/admin", headers=headers, json=body, timeout=60, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        """Send a client's request."""
        headers = {"Authorization": f"Bearer {self.gateway.key}"} | headers
        return httpx.post(f"{self.gateway.url}{path}", headers=headers, json=body, timeout=60, trust_env=False)

    def ask(self, model: str, text: str, **fields: Any) -> httpx.Response:
        """Ask for a chat's answer."""
        body = {"model": model, "messages": [{"role": "user", "content": text}], **fields}
        return self.post("/v1/chat/completions", body)

    def wait_noted(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """The log's entries of an event, once there are so many."""
        return wait_for(lambda: found if len(found := self.list_noted(event)) >= count else None, event)

    def list_noted(self, event: str) -> list[dict[str, Any]]:
        """The log's entries of an event."""
        return [entry for entry in self.read_log() if entry.get("event") == event]

    def read_log(self) -> list[dict[str, Any]]:
        """Every whole line of the gateway's log."""
        text = self.gateway.log.read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def read_content(self) -> list[dict[str, Any]]:
        """Every line of the file of prompts and answers."""
        path = self.state / "content.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def wait_content(self, count: int) -> list[dict[str, Any]]:
        """The same, once there are so many."""
        return wait_for(lambda: found if len(found := self.read_content()) >= count else None, "the content's lines")


@contextmanager
def run_content_site(
    state: Path | None, masks: dict[str, str] | None = None, **environment: str
) -> Iterator[ContentSite]:
    """Run a gateway that keeps its state in this folder, or none."""
    server = type("OwnScripted", (Scripted,), {})
    with serve_http(server) as place:
        config = CONFIG.format(place=place, masks=json.dumps(masks or {}))
        folder = {"GATEWAY_STATE": str(state)} if state else {}
        with run_gateway(config, **folder, **environment) as gateway:
            yield ContentSite(gateway, server, state or Path("/nowhere"))
