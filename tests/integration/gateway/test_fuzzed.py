"""Bodies that nobody means, and bodies that somebody means harm with: no 5xx, no hang, and the next one is served."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest

from stackctl.adapters.http.stand_in import StandIn, run_stand_in
from stackctl.adapters.process.drill_gateway import DrillGateway
from stackctl.core.drill.asks import Ask
from stackctl.core.drill.faults import OK
from stackctl.core.drill.judge import TEXT
from tests.integration.gateway.drilled import run_gateway
from tests.soak.clients import run_pool
from tests.soak.fuzz import list_fuzzed

FUZZED, SEED, AT_ONCE = 2100, 20261128, 8
CHAT = "/v1/chat/completions"
TIMEOUT_S = 60.0
# Of the gateway's process, while bodies of many times this size are thrown at it.
GROWTH_MIB = 200


@pytest.fixture(scope="module")
def provider() -> Iterator[StandIn]:
    with run_stand_in(lambda request, number: OK) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(provider: StandIn) -> Iterator[DrillGateway]:
    names = {"chat": "chat", "vectors": "embedding", "scores": "rerank"}
    parameters = {"api_base": f"{provider.url}/v1", "api_key": "k"}
    models = [
        {"model_name": name, "litellm_params": {**parameters, "model": f"openai/{name}"}, "model_info": {"mode": mode}}
        for name, mode in names.items()
    ]
    own = {
        "providers": {"engine": {"kind": "engine", "local": True, "slots": 4, "fresh_connections": True}},
        "models": {name: {"provider": "engine"} for name in names},
    }
    with run_gateway(json.dumps({"model_list": models, "gateway": own})) as running:
        yield running


def post(gateway: DrillGateway, body: bytes, path: str = CHAT, **headers: str) -> httpx.Response:
    sent = {"authorization": f"Bearer {gateway.key}", "content-type": "application/json"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(gateway.url + path, content=body, headers=sent, timeout=TIMEOUT_S)


def ask(content: Any) -> bytes:
    return json.dumps({"model": "chat", "messages": [{"role": "user", "content": content}]}).encode()


def assert_serves(gateway: DrillGateway) -> None:
    answered = post(gateway, json.dumps(Ask("chat", False, "chat").body).encode())
    assert answered.json()["choices"][0]["message"]["content"] == TEXT


def test_no_body_makes_the_gateway_fail_or_hang(gateway: DrillGateway) -> None:
    async def send(session: aiohttp.ClientSession, path: str, body: bytes) -> str:
        try:
            async with session.post(path, data=body) as answer:
                text = await answer.text()
                is_told = answer.status == 200 or "error" in json.loads(text)
                good = answer.status < 500 and is_told and "Traceback" not in text
                return "" if good else f"{path} {body[:300]!r}: {answer.status} {text[:200]}"
        except (TimeoutError, aiohttp.ClientError, ValueError) as error:
            return f"{path} {body[:300]!r}: {error!r}"

    async def run() -> list[str]:
        headers = {"authorization": f"Bearer {gateway.key}", "content-type": "application/json"}
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(gateway.url, headers=headers, timeout=timeout) as session:
            jobs = ((lambda item=item: send(session, *item)) for item in list_fuzzed(SEED, FUZZED))
            return await run_pool(jobs, AT_ONCE)

    results = asyncio.run(run())
    assert len(results) == FUZZED
    assert [result for result in results if result] == []
    assert_serves(gateway)


@pytest.mark.parametrize(
    ("top", "status", "results"), [("1.0", 200, 1), ("-1", 400, 0), ("0", 400, 0), ("1e40", 400, 0)]
)
def test_numbers_that_are_nearly_right(gateway: DrillGateway, top: str, status: int, results: int) -> None:
    body = json.dumps(Ask("rerank", False, "scores").body)[:-1] + f', "top_n": {top}}}'
    answered = post(gateway, body.encode(), "/v1/rerank")
    assert answered.status_code == status
    assert len(answered.json().get("results", ())) == results


def test_fifty_megabytes_are_refused_in_words(gateway: DrillGateway) -> None:
    refused = post(gateway, ask("x" * 50_000_000))
    assert refused.status_code == 413
    assert refused.json()["error"]["code"]
    assert_serves(gateway)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"content":'])
def test_a_hundred_thousand_levels_are_refused_in_words(gateway: DrillGateway, opening: bytes) -> None:
    for body in (opening * 100_000, ask("x").replace(b'"x"', b"[" * 100_000 + b"]" * 100_000)):
        refused = post(gateway, body)
        assert refused.status_code == 400
        assert refused.json()["error"]["code"] == "invalid_json"
    assert_serves(gateway)


@pytest.mark.parametrize(
    "text",
    [
        "\u202e\u2066right to left",
        "👩‍👩‍👧‍👦🏳️‍🌈",
        "a\u0300\u0301" * 2000,
        "\x00\x07\x1b[31m",
        "\ufeff\ufffd\uffff",
        "\U0010ffff",
    ],
)
def test_odd_unicode_reaches_the_model_as_it_was_written(gateway: DrillGateway, provider: StandIn, text: str) -> None:
    for body in (
        ask(text),
        ask(text).decode().encode(),
        json.dumps(json.loads(ask(text)), ensure_ascii=False).encode(),
    ):
        assert post(gateway, body).status_code == 200
        assert provider.seen("chat").requests[-1].fields["messages"][0]["content"] == text


def test_half_a_surrogate_is_refused_or_replaced_and_never_a_failure(gateway: DrillGateway) -> None:
    for body in (ask("\ud800"), ask("x").replace(b"x", b"\xed\xa0\x80"), ask("x").replace(b"x", b"\xff")):
        assert post(gateway, body).status_code in (200, 400)
    assert_serves(gateway)


def test_a_bomb_in_gzip_takes_no_memory(gateway: DrillGateway) -> None:
    bomb = gzip.compress(b" " * 1_000_000_000, compresslevel=9)
    double = gzip.compress(bomb)
    before = measure_mib(gateway)
    for body, encoding in ((bomb, "gzip"), (double, "gzip, gzip"), (double, "gzip")):
        refused = post(gateway, body, content_encoding=encoding)
        assert refused.status_code in (400, 413, 415), encoding
        assert "error" in refused.json()
    assert measure_mib(gateway) - before < GROWTH_MIB
    assert_serves(gateway)


def measure_mib(gateway: DrillGateway) -> int:
    """The most memory that the gateway has ever had."""
    status = Path(f"/proc/{gateway.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) // 1024
