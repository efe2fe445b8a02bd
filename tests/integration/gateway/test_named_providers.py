"""A `.env` of other tools' names behind the real gateway: who is asked, with what, and who when that one fails."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from stackctl.adapters.process.drill_gateway import DrillGateway
from stackctl.core.stack.names import GATEWAY_CONFIG
from stackctl.operations.site.load import load_site
from stackctl.operations.site.render import build_plan, render_site
from tests.fakes import World, write_env
from tests.http_server import QuietHandler, serve_http
from tests.integration.gateway.drilled import run_gateway

NAMES = """\
INTERNAL_LLM_BASE_URL=http://{internal}
INTERNAL_LLM_API_KEY=planted-api-key
INTERNAL_LLM_MODEL=gpt-4
INTERNAL_LLM_TICKET=planted-ticket
USER_ID=your_user_id
USER_TYPE=AD
OLLAMA_BASE_URL=http://{ollama}
OLLAMA_MODEL=llama3.1
MYCODER_OPENAI_BASE_URL=http://{internal}/v1
MYCODER_OPENAI_API_KEY=
MYCODER_CHAT_MODEL=gpt-3.5-turbo
LLM_TIMEOUT=60
LLM_MAX_RETRIES=0
LLM_TEMPERATURE=0.7
LLM_DEBUG=true
"""
SHELL = {"ENVIRONMENT": "development", "USER_ID": "shell-user", "OLLAMA_BASE_URL": "http://127.0.0.1:9"}


@dataclass
class Provider:
    """A server of OpenAI's format.

    Attributes:
        asked: path, headers in lower case and body of each request.
        fails: while it is set, every request is answered with 503.
    """

    address: str = ""
    asked: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    fails: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serve_provider(text: str) -> Iterator[Provider]:
    """A provider that always says this."""
    provider = Provider()

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            provider.asked.append((self.path, headers, body))
            if provider.fails.is_set():
                self.send_error(503)
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for part in ({"content": text}, {}):
                choice = {"index": 0, "delta": part, "finish_reason": None if part else "stop"}
                self._say(body, {"choices": [choice]})
            self._say(body, {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}})
            self.wfile.write(b"data: [DONE]\n\n")

        def _say(self, body: dict[str, Any], chunk: dict[str, Any]) -> None:
            chunk |= {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())

    with serve_http(Handler) as address:
        provider.address = address
        yield provider


@contextmanager
def run_named_gateway(environment: str, internal: Provider, ollama: Provider) -> Iterator[DrillGateway]:
    """The gateway of a site with these names, whose shell has names of its own."""
    named = NAMES.format(internal=internal.address, ollama=ollama.address)
    world = World(write_env() + environment + named)
    world.environment = dict(SHELL)
    loaded = load_site(world.effects)
    rendered = render_site(world.effects, loaded)
    service = rendered.process_services[-1]
    secrets = build_plan(loaded, rendered, "process", "none").secrets[service.name]
    given = {
        name: value for name, value in {**service.environment, **secrets}.items() if not name.startswith("GATEWAY")
    }
    del given["PYTHONPATH"], given["HOME"]
    given["GATEWAY_LOG_LEVEL"] = service.environment["GATEWAY_LOG_LEVEL"]
    with run_gateway(rendered.files[GATEWAY_CONFIG], **given) as gateway:
        yield gateway


def ask(gateway: DrillGateway, model: str, **fields: object) -> str:
    """What a model says, whose name must be the one that was asked for."""
    body = {"model": model, "messages": [{"role": "user", "content": "planted question"}], **fields}
    headers = {"Authorization": f"Bearer {gateway.key}"}
    answer = httpx.post(f"{gateway.url}/v1/chat/completions", json=body, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == model
    return str(answer.json()["choices"][0]["message"]["content"])


@pytest.fixture
def internal() -> Iterator[Provider]:
    with serve_provider("from the internal API") as provider:
        yield provider


@pytest.fixture
def ollama() -> Iterator[Provider]:
    with serve_provider("from Ollama") as provider:
        yield provider


def test_in_production_the_internal_api_answers_and_ollama_when_it_fails(internal: Provider, ollama: Provider) -> None:
    with run_named_gateway("ENVIRONMENT=production\n", internal, ollama) as gateway:
        assert ask(gateway, "local-chat") == "from the internal API"
        path, headers, body = internal.asked[-1]
        assert path == "/v1/chat/completions"
        assert (body["model"], body["temperature"]) == ("gpt-4", 0.7)
        assert headers["authorization"] == "Bearer planted-api-key"
        assert (headers["x-dep-ticket"], headers["user-id"], headers["user-type"]) == (
            "planted-ticket",
            "your_user_id",
            "AD",
        )
        assert ask(gateway, "local-chat", temperature=0.1) == "from the internal API"
        assert internal.asked[-1][2]["temperature"] == 0.1
        internal.fails.set()
        assert ask(gateway, "local-chat") == "from Ollama"
        path, headers, body = ollama.asked[-1]
        assert (path, body["model"]) == ("/v1/chat/completions", "llama3.1")
        assert not {"x-dep-ticket", "user-id", "user-type"} & headers.keys()
        internal.fails.clear()
        assert ask(gateway, "internal-chat") == "from the internal API"
        assert ask(gateway, "gpt-3.5-turbo") == ask(gateway, "mycoder-chat") == "from the internal API"
        assert "planted" not in internal.asked[-1][1].get("authorization", "")
        log = gateway.log.read_text()
        assert '"level":"debug","logger":"gateway.route"' in log
        assert "planted" not in log


def test_in_development_ollama_answers_and_nobody_else_when_it_fails(internal: Provider, ollama: Provider) -> None:
    with run_named_gateway("ENVIRONMENT=development\n", internal, ollama) as gateway:
        assert ask(gateway, "local-chat") == "from Ollama"
        ollama.fails.set()
        with pytest.raises(AssertionError, match="model 'local-chat' failed"):
            ask(gateway, "local-chat")
        assert internal.asked == []
