"""A caller's own key for a provider, at a real gateway: whom it reaches, and that it is kept nowhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from stackctl.adapters.http.stand_in import StandIn, run_stand_in
from stackctl.adapters.process.drill_gateway import DrillGateway
from stackctl.core.drill.asks import Ask
from stackctl.core.drill.behaviour import StandInRequest
from stackctl.core.drill.faults import FAULTS
from tests.integration.gateway.drilled import run_gateway

OWN = "sk-own-canary-7d20f1"
TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def provider() -> Iterator[StandIn]:
    with run_stand_in(lambda request, number: None) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(provider: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrillGateway]:
    """Two providers, with a model of each fault; ``first`` falls back to the second one."""
    models_of_one = ("ok@one", "503-openai@one", "401-openai@one", "429-openai@one")
    names = {**dict.fromkeys(models_of_one, "one"), "ok@two": "two"}
    models = [
        {"model_name": name, "litellm_params": {
            "api_base": f"{provider.url}/v1", "api_key": f"gateways-{owner}", "model": f"openai/{name}"}}
        for name, owner in names.items()
    ]  # fmt: skip
    routes: dict[str, Any] = {
        name: {"targets": [name], "retries": 0, "provider_key": "allowed"} for name in models_of_one
    }
    routes["first"] = {"targets": ["503-openai@one", "ok@two"], "retries": 0, "provider_key": "allowed"}
    routes["own"] = {"targets": ["ok@one"], "retries": 0, "provider_key": "required"}
    own = {
        "providers": {owner: {"kind": "openai-compatible"} for owner in ("one", "two")},
        "models": {name: {"provider": owner} for name, owner in names.items()},
        "routes": routes,
    }
    state = str(tmp_path_factory.mktemp("state"))
    configuration = json.dumps({"model_list": models, "gateway": own})
    with run_gateway(configuration, GATEWAY_STATE=state, GATEWAY_LOG_LEVEL="debug") as running:
        yield running
        held = [path.read_bytes() for path in (running.log, *Path(state).iterdir())]
        assert not [content for content in held if OWN.encode() in content]


def ask(gateway: DrillGateway, model: str, key: str = OWN, only: str = "") -> httpx.Response:
    sent = {"x-provider-key": key, "x-provider-key-only": only}
    headers = {"authorization": f"Bearer {gateway.key}"} | {name: value for name, value in sent.items() if value}
    body = {**Ask("chat", False, "ok").body, "model": model}
    return httpx.post(f"{gateway.url}/v1/chat/completions", json=body, headers=headers, timeout=TIMEOUT_S)


def find_last(provider: StandIn, model: str) -> StandInRequest:
    return provider.seen(model).requests[-1]


def test_the_provider_is_asked_with_the_callers_key(gateway: DrillGateway, provider: StandIn) -> None:
    answered = ask(gateway, "ok@one")
    assert (answered.status_code, answered.headers["x-gateway-provider-key"]) == (200, "caller")
    seen = find_last(provider, "ok@one")
    assert seen.headers["authorization"] == f"Bearer {OWN}"
    assert "x-provider-key" not in seen.headers
    answered = ask(gateway, "ok@one", key="")
    assert (answered.status_code, answered.headers["x-gateway-provider-key"]) == (200, "gateway")
    assert find_last(provider, "ok@one").headers["authorization"] == "Bearer gateways-one"


def test_a_fallback_at_another_provider_never_sees_it(gateway: DrillGateway, provider: StandIn) -> None:
    answered = ask(gateway, "first")
    assert (answered.status_code, answered.headers["x-gateway-provider-key"]) == (200, "gateway")
    assert find_last(provider, "503-openai@one").headers["authorization"] == f"Bearer {OWN}"
    seen = find_last(provider, "ok@two")
    assert OWN not in repr(seen)
    assert seen.headers["authorization"] == "Bearer gateways-two"


def test_who_asks_with_this_key_alone_is_not_answered_by_a_fallback(gateway: DrillGateway, provider: StandIn) -> None:
    before = provider.seen("ok@two").count
    failed = ask(gateway, "first", only="true")
    assert (failed.status_code, failed.json()["error"]["code"]) == (503, "upstream_error")
    assert provider.seen("ok@two").count == before
    assert ask(gateway, "ok@one", only="true").headers["x-gateway-provider-key"] == "caller"


def test_a_route_takes_one_only_where_it_says_so(gateway: DrillGateway, provider: StandIn) -> None:
    before = provider.seen("ok@two").count
    refused = ask(gateway, "ok@two")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "provider_key_not_taken")
    refused = ask(gateway, "own", key="")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "provider_key_needed")
    assert provider.seen("ok@two").count == before
    assert ask(gateway, "own").status_code == 200


def test_what_a_provider_refuses_is_the_callers_own_and_spoils_nothing_for_others(
    gateway: DrillGateway, provider: StandIn
) -> None:
    assert {"401-openai", "429-openai"} <= set(FAULTS)
    for _ in range(8):  # more than a target may fail in a row before it is left out
        refused = ask(gateway, "401-openai@one")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "provider_key_refused")
        refused = ask(gateway, "429-openai@one")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "provider_rate_limited")
    headers = {"authorization": f"Bearer {gateway.key}"}
    targets = httpx.get(f"{gateway.url}/health", headers=headers, timeout=TIMEOUT_S).json()["targets"]
    states = {item["model"]: item["state"] for item in targets}
    assert states["401-openai@one"] == states["429-openai@one"] == "unknown"
    assert ask(gateway, "401-openai@one", key="").json()["error"]["code"] == "provider_refused_key"
