"""Limits at real gateways of one and of three workers: exact counts, and what real SDKs make of a refusal."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest
from gateway.state.usage import UsageRow, add_usage

from stackctl.adapters.http.stand_in import StandIn, run_stand_in
from stackctl.core.drill.behaviour import Behaviour
from stackctl.core.drill.faults import OK
from tests.integration.gateway.drilled import run_gateway
from tests.integration.gateway.gates import CHAT, TIMEOUT_S, Gate
from tests.integration.gateway.limited import (
    BODY,
    COUNTED_TOKENS,
    NEVER_ENDS,
    ask_at_once,
    build_headers,
    count_answers,
    give_key,
)
from tests.waiting import wait_for

# Of BODY as httpx writes it, by which its prompt is estimated.
PROMPT_TOKENS = len(json.dumps(BODY, separators=(",", ":"))) // 4
FAILS = Behaviour(status=503)
INTERVAL_MS = 150
PROVIDERS = {"chat": "far", "other": "far", "paced": "slow", "capped": "small", "capped-too": "small"}


@pytest.fixture
def provider() -> Iterator[StandIn]:
    with run_stand_in() as running:
        yield running


Open = Callable[..., Any]


@pytest.fixture(params=[1, 3], ids=["one worker", "three workers"])
def open_gate(request: pytest.FixtureRequest, provider: StandIn, tmp_path: Path) -> Open:
    """Starts gateways that share a state folder, one after the other."""

    @contextmanager
    def open_one(retries: int = 0, limits: dict[str, int] | None = None) -> Iterator[Gate]:
        parameters = {"api_base": f"{provider.url}/v1", "api_key": "k", "model": "openai/chat"}
        models = [
            {"model_name": "chat", "litellm_params": {**parameters, **(limits or {})}},
            *(
                {"model_name": name, "litellm_params": {**parameters, "model": f"openai/{name}"}}
                for name in PROVIDERS
                if name != "chat"
            ),
        ]
        own = {
            "providers": {
                "far": {"kind": "openai-compatible"},
                "slow": {"kind": "openai", "min_interval_ms": INTERVAL_MS},
                "small": {"kind": "openai", "rpm": 25},
            },
            "models": {name: {"provider": provider} for name, provider in PROVIDERS.items()},
            "routes": {"chat": {"targets": ["chat", "other"], "retries": retries}},
        }
        settings = {"GATEWAY_STATE": str(tmp_path / "state"), "GATEWAY_WORKERS": str(request.param)}
        configuration = json.dumps({"model_list": models, "gateway": own})
        with ExitStack() as stack, run_gateway(configuration, **settings) as gateway:
            yield Gate(gateway, request.param, stack)

    return open_one


def change_key(gate: Gate, **terms: Any) -> None:
    assert gate.order(do="keys.change", name="ada", **terms).status_code == 200


def test_of_many_at_once_exactly_as_many_pass_as_a_minute_allows(open_gate: Open, provider: StandIn) -> None:
    with open_gate() as gate:
        key = give_key(gate, requests_per_minute=20)
        answers = ask_at_once([(gate, key)], 60)
        assert count_answers(answers) == {200: 20, 429: 40}
        assert provider.total.count == 20
        left = [int(answer.headers["x-ratelimit-remaining-requests"]) for answer in answers]
        assert sorted(left) == [0] * 40 + list(range(20))
        assert {answer.json()["error"]["code"] for answer in answers if answer.status_code == 429} == {
            "rate_limit_exceeded"
        }
        assert all(50 <= int(answer.headers["retry-after"]) <= 60 for answer in answers if answer.status_code == 429)
        assert set(gate.ask(gate.gateway.key)) == {"200"}  # the first key has no limits


def test_the_tokens_of_requests_under_way_are_reserved_until_their_clients_leave(
    open_gate: Open, provider: StandIn
) -> None:
    provider.script("chat", NEVER_ENDS)
    most = PROMPT_TOKENS + 80
    with open_gate() as gate:
        key = give_key(gate, tokens_per_minute=5 * most + 40)
        with ExitStack() as stack:
            for number in range(5):
                client = gate.clients[number % len(gate.clients)]
                asked = {**BODY, "stream": True}
                # Each over a connection of its own.
                client = stack.enter_context(httpx.Client(base_url=gate.gateway.url, timeout=TIMEOUT_S))
                answer = stack.enter_context(client.stream("POST", CHAT, json=asked, headers=build_headers(key)))
                assert answer.status_code == 200
            assert count_answers(ask_at_once([(gate, key)], 6)) == {429: 6}
        # Their clients have left: what came until then is estimated, and the rest is free again.
        provider.script("chat", OK)
        wait_for(lambda: count_answers(ask_at_once([(gate, key)], 4)) == {200: 4}, "the tokens of those that left")


def test_what_a_server_counted_takes_the_place_of_what_was_expected(open_gate: Open) -> None:
    with open_gate() as gate:
        key = give_key(gate, tokens_per_minute=PROMPT_TOKENS + 80 + 10 * COUNTED_TOKENS)
        answers = [ask_at_once([(gate, key)], 1)[0] for _ in range(11)]
        assert count_answers(answers) == {200: 11}
        assert [int(answer.headers["x-ratelimit-remaining-tokens"]) for answer in answers] == [
            number * COUNTED_TOKENS for number in range(10, -1, -1)
        ]
        assert count_answers(ask_at_once([(gate, key)], 3)) == {429: 3}


def test_requests_at_once(open_gate: Open, provider: StandIn) -> None:
    provider.script("chat", NEVER_ENDS)
    with open_gate() as gate, ExitStack() as stack:
        key = give_key(gate, parallel_requests=4)
        held = []
        for _ in range(4):
            client = stack.enter_context(httpx.Client(base_url=gate.gateway.url, timeout=TIMEOUT_S))
            asked = {**BODY, "stream": True}
            held.append(stack.enter_context(client.stream("POST", CHAT, json=asked, headers=build_headers(key))))
        assert count_answers(ask_at_once([(gate, key)], 9)) == {429: 9}
        provider.script("chat", OK)
        held[0].close()
        wait_for(lambda: count_answers(ask_at_once([(gate, key)], 1)) == {200: 1}, "a place")
        assert provider.total.most_at_once <= 5  # the one that left may not have been noticed yet


def test_a_client_that_waits_for_each_answer_is_never_two_at_once(open_gate: Open) -> None:
    with open_gate() as gate:
        key = give_key(gate, parallel_requests=1)
        for stream in (False, True):
            for number in range(60):
                client = gate.clients[number % len(gate.clients)]
                assert client.post(CHAT, json={**BODY, "stream": stream}, headers=build_headers(key)).status_code == 200


def test_a_budget_counts_the_usage_of_earlier_and_what_changes_from_the_next_request(
    open_gate: Open, tmp_path: Path
) -> None:
    with open_gate() as gate:
        key = give_key(gate, budget_tokens=1000, budget_period="month")
        add_earlier(tmp_path / "state" / "gateway.db", "ada", 900)
        answers = ask_at_once([(gate, key)], 20, max_tokens=100 - PROMPT_TOKENS)
        assert set(count_answers(answers)) == {200, 429}
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.json()["error"]["code"] == "budget_exceeded"
        assert refused.headers["x-ratelimit-limit-tokens"] == "1000"
        served = count_answers(answers)[200]
        while count_answers(ask_at_once([(gate, key)], 1, max_tokens=1)) == {200: 1}:
            served += 1
        assert 1000 - 900 - served * COUNTED_TOKENS < PROMPT_TOKENS + 1
        change_key(gate, budget_tokens=2000)
        wait_for(lambda: set(gate.ask(key)) == {"200"}, "every worker to know the new budget")
        change_key(gate, budget_tokens=1)
        wait_for(lambda: set(gate.ask(key)) == {"budget_exceeded"}, "every worker to know the new budget")


def add_earlier(database: Path, key: str, tokens: int) -> None:
    row = UsageRow(
        time.time(),
        "r",
        key,
        "chat",
        "chat",
        "far",
        "chat",
        "[]",
        200,
        "ok",
        tokens,
        0,
        None,
        False,
        0.0,
        0.1,
        1.0,
        None,
    )
    connection = sqlite3.connect(database, timeout=TIMEOUT_S)
    with connection:
        add_usage(connection, [row])
    connection.close()


def test_a_request_that_is_tried_again_and_falls_back_counts_once_and_a_failed_one_takes_no_tokens(
    open_gate: Open, provider: StandIn
) -> None:
    provider.script("chat", FAILS)
    with open_gate(retries=1) as gate:
        key = give_key(gate, requests_per_minute=10, tokens_per_minute=1000)
        (answer,) = ask_at_once([(gate, key)], 1)
        assert (answer.status_code, provider.seen("chat").count, provider.seen("other").count) == (200, 2, 1)
        provider.script("other", FAILS)
        assert count_answers(ask_at_once([(gate, key)], 1)) == {503: 1}
        provider.script("other", OK)
        (answer,) = ask_at_once([(gate, key)], 1)
        assert answer.headers["x-ratelimit-remaining-requests"] == "7"
        assert answer.headers["x-ratelimit-remaining-tokens"] == str(1000 - COUNTED_TOKENS - PROMPT_TOKENS - 80)


def test_over_a_target_s_limit_the_next_target_answers(open_gate: Open, provider: StandIn) -> None:
    with open_gate(limits={"rpm": 5}) as gate:
        assert count_answers(ask_at_once([(gate, gate.gateway.key)], 12)) == {200: 12}
        assert (provider.seen("chat").count, provider.seen("other").count) == (5, 7)


def test_a_provider_with_an_interval_is_asked_at_its_pace_by_all_workers_together(
    open_gate: Open, provider: StandIn
) -> None:
    with open_gate() as gate:
        began = time.monotonic()
        assert count_answers(ask_at_once([(gate, gate.gateway.key)], 8, model="paced")) == {200: 8}
        # Only that it is not faster: how much slower depends on the machine.
        assert time.monotonic() - began >= 7 * INTERVAL_MS / 1000


def test_a_provider_s_limit_is_that_of_all_its_models_and_of_all_workers(open_gate: Open, provider: StandIn) -> None:
    with open_gate() as gate:
        answers = [
            answer
            for model in ("capped", "capped-too")
            for answer in ask_at_once([(gate, gate.gateway.key)], 20, model=model)
        ]
        assert count_answers(answers) == {200: 25, 429: 15}
        assert provider.total.count == 25
        refused = [answer for answer in answers if answer.status_code == 429]
        assert {answer.json()["error"]["code"] for answer in refused} == {"rate_limit_exceeded"}
        assert all("The provider of model 'capped-too' has reached its limit" in answer.text for answer in refused)
        assert all(0 < int(answer.headers["retry-after"]) <= 60 for answer in refused)


def test_openais_sdk_raises_its_error_with_the_headers(open_gate: Open) -> None:
    with open_gate() as gate:
        key = give_key(gate, requests_per_minute=1)
        with openai.OpenAI(base_url=f"{gate.gateway.url}/v1", api_key=key, max_retries=0) as client:
            client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "hi"}])
            with pytest.raises(openai.RateLimitError, match="Key 'ada' may send 1 request a minute") as caught:
                client.chat.completions.create(model="chat", messages=[{"role": "user", "content": "hi"}])
    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.response.headers["x-ratelimit-remaining-requests"] == "0"
    assert 50 <= int(caught.value.response.headers["retry-after"]) <= 60


def test_anthropics_sdk_raises_its_error_with_the_headers_and_does_not_retry_a_spent_budget(
    open_gate: Open, provider: StandIn
) -> None:
    with open_gate() as gate:
        key = give_key(gate, budget_tokens=200)
        ask: dict[str, Any] = {
            "model": "chat",
            "max_tokens": 100,
            "messages": [{"role": "user", "content": "How far can you count?"}],
        }
        prompt_tokens = len(json.dumps(ask, separators=(",", ":"))) // 4
        with anthropic.Anthropic(base_url=gate.gateway.url, api_key=key, max_retries=5) as client:
            raw = client.messages.with_raw_response.create(**ask)
            assert raw.headers["anthropic-ratelimit-tokens-limit"] == "200"
            with pytest.raises(anthropic.RateLimitError, match="Key 'ada' has a budget of 200 tokens a day") as caught:
                client.messages.create(**(ask | {"max_tokens": 200 - prompt_tokens}))
        headers = caught.value.response.headers
        assert headers["anthropic-ratelimit-tokens-remaining"] == str(200 - COUNTED_TOKENS)
        assert headers["x-should-retry"] == "false"
        assert int(headers["retry-after"]) > 0
        wait_for(lambda: "budget_exceeded" in gate.gateway.log.read_text(), "the log to say so")
        assert gate.gateway.log.read_text().count("budget_exceeded") == 1
