"""Providers behind a company's certificate authority and behind its proxy, asked by the real gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from stackctl.adapters.process.drill_gateway import DrillGateway
from stackctl.errors import RuntimeFailure
from tests.certificates import Company, make_company
from tests.http_server import QuietHandler, serve_http
from tests.integration.gateway.drilled import run_gateway

ASKED = {"model": "away", "messages": [{"role": "user", "content": "a"}]}
CONFIG = """\
model_list:
  - model_name: away
    litellm_params: {{model: openai/away, api_base: {address}, api_key: none}}
    model_info: {{mode: chat}}
gateway:
  formats: [chat]
  providers:
    p: {{kind: vllm, local: false, proxied: {proxied}, timeouts: {{connect: 5, first_token: 20, whole: 20}}}}
  models: {{away: {{provider: p}}}}
  routes: {{away: {{targets: [away], retries: 0, deadline_s: 30}}}}
"""


class Chat(QuietHandler):
    """A server that streams one word, and notes the addresses it was asked for."""

    asked: list[str]

    def do_POST(self) -> None:
        self.asked.append(self.path)
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        choice = {"index": 0, "delta": {"role": "assistant", "content": "pong"}, "finish_reason": None}
        last = {"index": 0, "delta": {}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        for chunk in ({"choices": [choice]}, {"choices": [last]}, {"choices": [], "usage": usage}):
            body = json.dumps({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "x", **chunk})
            self.wfile.write(f"data: {body}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")


@pytest.fixture
def chat() -> type[Chat]:
    """A server's handler of this test's own."""
    return type("OwnChat", (Chat,), {"asked": []})


@pytest.fixture
def company(tmp_path: Path) -> Company:
    return make_company(tmp_path)


@contextmanager
def ask_over_tls(
    chat: type[Chat], company: Company, **environment: str
) -> Iterator[tuple[DrillGateway, httpx.Response]]:
    """What a client sees of a provider whose certificate is the company's."""
    with serve_http(chat, company.context) as place:
        config = CONFIG.format(address=f"https://{place}/v1", proxied="false")
        with run_gateway(config, **environment) as gateway:
            yield gateway, ask(gateway)


def ask(gateway: DrillGateway) -> httpx.Response:
    headers = {"Authorization": f"Bearer {gateway.key}"}
    return httpx.post(f"{gateway.url}/v1/chat/completions", json=ASKED, headers=headers, timeout=60, trust_env=False)


@pytest.mark.parametrize("variable", ["GATEWAY_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_provider_is_trusted_by_the_companys_authority(chat: type[Chat], company: Company, variable: str) -> None:
    with ask_over_tls(chat, company, **{variable: str(company.authority)}) as (_, reply):
        assert reply.status_code == 200, reply.text
        assert reply.json()["choices"][0]["message"]["content"] == "pong"


def test_a_provider_that_nobody_vouches_for_is_told_nothing(chat: type[Chat], company: Company) -> None:
    with ask_over_tls(chat, company) as (_, reply):
        assert reply.status_code == 503
        assert "certificate" in reply.text
        assert chat.asked == []


def test_a_bundle_that_is_none_keeps_the_gateway_from_starting(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    config = CONFIG.format(address="https://localhost:9/v1", proxied="false")
    bundle = str(tmp_path / "ca.pem")
    with pytest.raises(RuntimeFailure, match="GATEWAY_CA_BUNDLE"), run_gateway(config, GATEWAY_CA_BUNDLE=bundle):
        pass


@pytest.mark.parametrize(("proxied", "address"), [("true", "http://models.invalid/v1/chat/completions"), ("false", "")])
def test_only_a_provider_that_lies_outside_is_asked_through_the_proxy(
    chat: type[Chat], proxied: str, address: str
) -> None:
    with serve_http(chat) as place:
        config = CONFIG.format(address="http://models.invalid/v1", proxied=proxied)
        with run_gateway(config, HTTP_PROXY=f"http://{place}", http_proxy=f"http://{place}", NO_PROXY="") as gateway:
            reply = ask(gateway)
    assert (reply.status_code == 200) is bool(address), reply.text
    assert chat.asked == ([address] if address else [])
