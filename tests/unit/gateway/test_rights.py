"""What a key of the database may ask, and the operator's route: as a client of the gate sees it."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from gateway.administer import administer
from gateway.catalog.parse import parse_catalog
from gateway.catalog.values import Route
from gateway.errors import RefusedError
from gateway.formats.call import Call
from gateway.policy.rights import list_models
from gateway.routing.targets import list_targets
from gateway.state.database import prepare
from gateway.state.values import Caller, Key, Terms

from tests.gateway_calls import ADMIN, BODY, CHAT, CLIENT, ScriptedRouter, StartedGate, build_gate, call, error_of

CONFIG = """
model_list:
  - model_name: local-chat
    litellm_params: {model: hosted_vllm/x, api_base: "http://127.0.0.1:9/v1"}
    model_info: {mode: chat}
  - model_name: cloud-chat
    litellm_params: {model: openai/x, api_base: "http://127.0.0.1:9/v1", api_key: k}
    model_info: {mode: chat}
  - model_name: org/embed
    litellm_params: {model: hosted_vllm/y, api_base: "http://127.0.0.1:9/v1"}
    model_info: {mode: embedding}
gateway:
  providers:
    house: {kind: engine, local: true}
    cloud: {kind: openai}
  models: {local-chat: {provider: house}, cloud-chat: {provider: cloud}, org/embed: {provider: house}}
  routes:
    local-chat: {targets: [local-chat, cloud-chat]}
  aliases: [{match: "claude-*", route: local-chat}, {match: "gpt-4", route: cloud-chat}]
  cors_origins: ["https://chat.example"]
"""
CATALOG = parse_catalog(CONFIG, {})


def call_with(**terms: Any) -> Caller:
    return Caller("a", key=Key(1, "a", Terms(**terms), 0.0))


@pytest.mark.parametrize(
    ("models", "shown", "shown_with_aliases"),
    [
        ((), ["local-chat", "cloud-chat", "org/embed"], ["local-chat", "cloud-chat", "org/embed", "claude-*", "gpt-4"]),
        (("local-chat",), ["local-chat"], ["local-chat", "claude-*"]),
        (("*-chat",), ["local-chat", "cloud-chat"], ["local-chat", "cloud-chat", "claude-*", "gpt-4"]),
        (("org/*",), ["org/embed"], ["org/embed"]),
        (("claude-*",), [], ["claude-*"]),
        (("claude-sonnet",), ["claude-sonnet"], ["claude-sonnet"]),
        (("nothing",), [], []),
    ],
)  # fmt: skip
def test_a_key_is_shown_what_it_may_ask(
    models: tuple[str, ...], shown: list[str], shown_with_aliases: list[str]
) -> None:
    caller = call_with(models=models)
    assert [name for name, _ in list_models(CATALOG, caller)] == shown
    assert [name for name, _ in list_models(CATALOG, caller, with_aliases=True)] == shown_with_aliases


def test_a_key_for_local_models_is_not_shown_what_only_others_serve() -> None:
    shown = list_models(CATALOG, call_with(local_only=True), with_aliases=True)
    assert [name for name, _ in shown] == ["local-chat", "org/embed", "claude-*"]


def find_targets(caller: Caller, name: str) -> list[str]:
    route: Route = CATALOG.routes[name]
    return [target.name for target in list_targets(Call("chat", {}, name, "r", caller), route)]


def test_a_key_for_local_models_never_reaches_a_fallback_outside() -> None:
    assert find_targets(Caller("client"), "local-chat") == ["local-chat", "cloud-chat"]
    assert find_targets(call_with(local_only=True), "local-chat") == ["local-chat"]
    with pytest.raises(RefusedError) as caught:
        find_targets(call_with(local_only=True), "cloud-chat")
    assert (caught.value.error.status, caught.value.error.code) == (403, "no_local_target")


class Site:
    """A gate with a database."""

    def __init__(self, folder: Path) -> None:
        self.router = ScriptedRouter()
        self.gate: StartedGate = build_gate(self.router, CONFIG, prepare(folder))

    def order(self, key: str | None = ADMIN, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
        return call(self.gate, "POST", "/admin", key, headers=headers or {}, json=body)

    def create(self, **fields: Any) -> str:
        response = self.order(do="keys.create", **fields)
        assert response.status_code == 200, response.text
        secret: str = response.json()["secret"]
        return secret

    def ask(self, key: str, model: str = "local-chat", path: str = CHAT) -> httpx.Response:
        return call(self.gate, "POST", path, key, json={**BODY, "model": model, "max_tokens": 5})


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/v1/messages/count_tokens"])
def test_a_key_asks_for_its_models_and_for_no_others(site: Site, path: str) -> None:
    key = site.create(name="anna", models=["local-chat"])
    for model in ("local-chat", "claude-anything"):
        assert site.ask(key, model, path).status_code == 200
        assert (site.router.calls[-1].asked, site.router.calls[-1].caller.name) == (model, "anna")
    count = len(site.router.calls)
    for model in ("cloud-chat", "gpt-4"):
        assert site.ask(key, model, path).status_code == 403
    assert len(site.router.calls) == count


def test_a_refused_model_is_said_in_the_form_of_each_format(site: Site) -> None:
    key = site.create(name="anna", models=["local-chat"])
    refused = error_of(site.ask(key, "cloud-chat"))
    assert (refused["code"], refused["type"], refused["param"]) == ("model_not_allowed", "permission_error", "model")
    assert site.ask(key, "cloud-chat", "/v1/messages").json()["error"]["type"] == "permission_error"
    assert site.ask(key, "org/embed").status_code == 403
    assert site.ask(key, "unknown").status_code == 404


def test_a_key_sees_only_what_it_may_ask(site: Site) -> None:
    key = site.create(name="anna", models=["local-*"])
    assert [item["id"] for item in call(site.gate, "GET", "/v1/models", key).json()["data"]] == ["local-chat"]
    assert call(site.gate, "GET", "/v1/models/claude-x", key).status_code == 200
    hidden = call(site.gate, "GET", "/v1/models/cloud-chat", key)
    assert (hidden.status_code, error_of(hidden)["code"]) == (404, "model_not_found")
    assert call(site.gate, "GET", "/health", key).json()["models"] == ["local-chat"]
    assert len(call(site.gate, "GET", "/v1/models").json()["data"]) == 3


def test_a_clients_key_opens_nothing_of_the_operators(site: Site) -> None:
    key = site.create(name="anna")
    for path, method in (("/admin", "POST"), ("/metrics", "GET")):
        for client in (key, CLIENT):
            refused = call(site.gate, method, path, client)
            assert (refused.status_code, error_of(refused)["code"]) == (403, "admin_key_needed")
        assert call(site.gate, method, path, None).status_code == 401


def test_expired_and_revoked_keys_are_told_apart(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    short, revoked = site.create(name="short", expires_at=now + 3600), site.create(name="gone")
    site.order(do="keys.revoke", name="gone")
    assert site.ask(short).status_code == 200
    monkeypatch.setattr(time, "time", lambda: now + 3600)
    assert error_of(site.ask(short))["code"] == "key_expired"
    assert error_of(site.ask(revoked))["code"] == "invalid_api_key"
    assert site.ask(short).headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("key", [ADMIN, CLIENT, None])
@pytest.mark.parametrize("method", ["POST", "OPTIONS", "GET"])
@pytest.mark.parametrize("origin", ["https://chat.example", "null", "http://127.0.0.1:8080"])
def test_the_operators_route_answers_no_web_page(site: Site, key: str | None, method: str, origin: str) -> None:
    headers = {"origin": origin, "access-control-request-method": "POST"}
    refused = call(site.gate, method, "/admin", key, headers=headers, json={"do": "keys.list"})
    assert (refused.status_code, error_of(refused)["code"]) == (403, "no_web_pages")
    assert not [name for name in refused.headers if name.startswith("access-control")]


def test_the_operators_answers_are_not_stored(site: Site) -> None:
    for key in (ADMIN, CLIENT):
        assert site.order(key, do="keys.list").headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({}, 400, "invalid_parameter", "do"),
        ({"do": "keys.create"}, 400, "invalid_parameter", "name"),
        ({"do": "keys.create", "name": "a", "rpm": 1}, 400, "invalid_parameter", "rpm"),
        ({"do": "keys.show", "name": "a"}, 404, "not_found", "name"),
        ({"do": "keys.create", "name": "taken"}, 409, "name_taken", "name"),
    ],
)
def test_what_the_operator_has_wrong_is_named(
    site: Site, body: dict[str, Any], status: int, code: str, param: str
) -> None:
    site.create(name="taken")
    refused = site.order(**body)
    assert (refused.status_code, error_of(refused)["code"], error_of(refused)["param"]) == (status, code, param)


def test_an_action_is_no_large_body(site: Site) -> None:
    assert site.order(do="keys.create", name="a", note="x" * 300_000).status_code == 413


def test_the_log_has_the_action_and_the_keys_name_and_no_secret(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        secret = site.create(name="anna", note="a note")
        site.order(do="keys.show", name=secret)
        site.ask(secret)
    facts = [record.facts for record in caplog.records if hasattr(record, "facts")]
    assert [(item.get("action"), item.get("subject"), item["key"]) for item in facts] == [
        ("keys.create", "anna", "admin"),
        ("keys.show", None, "admin"),
        (None, None, "anna"),
    ]
    logged = f"{caplog.text} {facts}"
    assert secret.split("-", 2)[2] not in logged
    assert "a note" not in logged


def test_without_a_database_only_the_keys_of_the_environment_open() -> None:
    gate = build_gate()
    for key in (CLIENT, ADMIN):
        assert call(gate, "POST", CHAT, key, json=BODY).status_code == 200
    refused = call(gate, "POST", "/admin", ADMIN, json={"do": "keys.list"})
    assert (refused.status_code, error_of(refused)["code"]) == (503, "state_unavailable")


def test_a_key_that_another_process_made_opens(site: Site, tmp_path: Path) -> None:
    status, body = administer(b'{"do": "keys.create", "name": "offline"}', {"GATEWAY_STATE": str(tmp_path)})
    assert status == 200
    secret = body.split(b'"secret":"')[1].split(b'"')[0].decode()
    assert site.ask(secret).status_code == 200


def test_known_keys_go_on_while_the_database_is_away(site: Site, tmp_path: Path) -> None:
    key = site.create(name="anna")
    parts = site.gate.gate._open_parts()

    async def run() -> None:
        await parts.open()
        for file in tmp_path.iterdir():
            file.unlink()
        assert parts.refresher
        await parts.refresher.refresh()
        assert parts.keyring.find(key.encode()) is not None
        await parts.close()

    asyncio.run(run())
