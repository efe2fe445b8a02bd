"""A company's proxy is for providers: engines, health and everything on loopback are asked directly."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest

from stackctl.adapters.docker.docker_engine import connect_engine
from stackctl.adapters.http.download import load_client, open_reply
from stackctl.errors import StackError
from tests.http_server import QuietHandler, serve_http
from tests.integration.conftest import MakeSite
from tests.ports import claim_port

PROVIDER = (
    "providers: {far: {kind: openai-compatible, api_base: 'http://provider.test/v1', models: {far-chat: {model: m}}}}"
)
ANSWER = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "from afar"}}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


@dataclass
class Proxy:
    """A proxy that answers every question itself and remembers what it was asked for."""

    url: str
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    asked: list[str] = []

    class Handler(QuietHandler):
        def answer(self) -> None:
            asked.append(f"{self.command} {self.path}")
            self.rfile.read(int(self.headers.get("content-length", 0)))
            body = json.dumps(ANSWER).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_HEAD = do_CONNECT = answer  # the library's names

    with serve_http(Handler) as host:
        yield Proxy(f"http://{host}", asked)


@pytest.fixture
def behind(proxy: Proxy, monkeypatch: pytest.MonkeyPatch, names: tuple[str, str, str]) -> Proxy:
    """This process and all that it starts are behind the proxy, and nobody thought of loopback."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    http, https, none = names
    monkeypatch.setenv(http, proxy.url)
    monkeypatch.setenv(https, proxy.url)
    monkeypatch.setenv(none, "intranet.example")
    return proxy


UPPER, LOWER = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"), ("http_proxy", "https_proxy", "no_proxy")


@pytest.mark.parametrize("names", [UPPER, LOWER], ids=["upper case", "lower case"])
def test_providers_are_asked_through_the_proxy_and_engines_are_not(behind: Proxy, make_site: MakeSite) -> None:
    site = make_site()
    (site.path / "stack.yml").write_text(PROVIDER, encoding="utf-8")
    site.run("up")
    assert site.load_health()["status"] == "ok"
    assert site.run("chat", "ping").stdout.strip() == "pong"
    question = {"model": "far-chat", "messages": [{"role": "user", "content": "ping"}]}
    headers = {"Authorization": f"Bearer {site.keys['GATEWAY_KEY']}"}
    with httpx.Client(base_url=site.url, headers=headers, timeout=60, trust_env=False) as client:
        answer = client.post("/v1/chat/completions", json=question)
    assert answer.json()["choices"][0]["message"]["content"] == "from afar"
    assert "POST http://provider.test/v1/chat/completions" in behind.asked
    assert [question for question in behind.asked if question.startswith("GET ")] == [], "no start asks a provider"
    # Health and chat went from us to the gateway, and from it to the engine, without the proxy.
    assert [question for question in behind.asked if "http://provider.test/" not in question] == []


@pytest.mark.parametrize("names", [UPPER, LOWER], ids=["upper case", "lower case"])
def test_stackctl_itself_asks_nothing_on_loopback_through_the_proxy(
    behind: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = claim_port()
    load_client.cache_clear()
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
    with pytest.raises(StackError, match="connection refused"):
        connect_engine()
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(StackError), open_reply(None, "GET", f"http://{host}:{port}/model.gguf", {}):
            pass
    assert behind.asked == []
