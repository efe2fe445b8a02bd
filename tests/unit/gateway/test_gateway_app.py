"""The gate: which requests it lets through, and what a client sees of the answers."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from gateway.errors import ApiError, RefusedError
from gateway.reference import render_outcomes

from tests.gateway_calls import (
    ADMIN,
    BODY,
    CHAT,
    CLIENT,
    CONFIG,
    SECRET,
    ScriptedRouter,
    build_gate,
    call,
    error_of,
)


@pytest.mark.parametrize("key", [None, "wrong", CLIENT, ADMIN])
@pytest.mark.parametrize(
    "path",
    [
        "/docs",
        "/openapi.json",
        "/ui/",
        "/routes",
        "/model/info",
        "/chat/completions",
        "/v1/chat/completions/",
        "/V1/models",
        "/v1/models/",
        "/v1/files",
        "/v1/realtime",
        "/key/generate",
        "//v1/models",
        f"/{SECRET}",
    ],
)
def test_every_other_route_is_404_for_everyone(path: str, key: str | None) -> None:
    router = ScriptedRouter()
    response = call(build_gate(router), "POST", path, key, json=BODY)
    assert (response.status_code, error_of(response)["code"]) == (404, "unknown_route")
    assert router.calls == []


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", CHAT, "POST, OPTIONS"),
        ("POST", "/v1/models", "GET, HEAD, OPTIONS"),
        ("PUT", CHAT, "POST, OPTIONS"),
        ("DELETE", "/metrics", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_wrong_method_is_405_and_says_the_right_one(method: str, path: str, allowed: str) -> None:
    response = call(build_gate(), method, path)
    assert (response.status_code, response.headers["allow"]) == (405, allowed)
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer "}, {"authorization": f"Basic {CLIENT}"},
                                     {"authorization": f"Bearer {CLIENT}x"}, {"authorization": CLIENT},
                                     {"x-api-key": "wrong"}, {"x-api-key": ""}])  # fmt: skip
def test_a_missing_or_wrong_key_is_401_in_the_form_of_the_route(headers: dict[str, str]) -> None:
    router = ScriptedRouter()
    gate = build_gate(router)
    response = call(gate, "POST", CHAT, None, headers=headers, json=BODY)
    assert (response.status_code, error_of(response)["type"]) == (401, "authentication_error")
    anthropic = call(gate, "POST", "/v1/messages", None, headers=headers, json=BODY)
    assert anthropic.status_code == 401
    assert anthropic.json()["type"] == "error"
    assert anthropic.json()["error"]["type"] == "authentication_error"
    for path in ("/v1/models", "/v1/models/local-chat", "/health", "/metrics"):
        assert call(gate, "GET", path, None, headers=headers).status_code == 401
    assert router.calls == []


@pytest.mark.parametrize("headers", [{"authorization": f"Bearer {CLIENT}"}, {"authorization": f"bearer  {CLIENT}"},
                                     {"x-api-key": CLIENT}, {"x-api-key": ADMIN},
                                     {"x-api-key": CLIENT, "authorization": "Bearer of-another-tool"}])  # fmt: skip
def test_a_valid_key_opens_in_either_header(headers: dict[str, str]) -> None:
    assert call(build_gate(), "POST", CHAT, None, headers=headers, json=BODY).status_code == 200


def test_metrics_want_the_admin_key_and_count_requests() -> None:
    gate = build_gate()
    call(gate, "POST", CHAT, json=BODY)
    refused = call(gate, "GET", "/metrics", CLIENT)
    assert (refused.status_code, error_of(refused)["code"]) == (403, "admin_key_needed")
    shown = call(gate, "GET", "/metrics", ADMIN)
    assert shown.headers["content-type"].startswith("text/plain")
    assert f'gateway_requests_total{{model="local-chat",route="{CHAT}",status="200"}}' in shown.text


@pytest.mark.parametrize("path", ["/health/liveliness", "/health/liveness", "/health/readiness"])
def test_liveness_and_readiness_are_free_and_say_nothing_else(path: str) -> None:
    assert call(build_gate(), "GET", path, None).json() == {"status": "ok"}


def test_health_costs_nothing_with_any_key() -> None:
    router = ScriptedRouter()
    assert call(build_gate(router), "GET", "/health").json() == {
        "status": "ok",
        "models": ["local-chat", "org/embed"],
        "targets": [],
        "slots": {},
        "state": {"kind": "none"},
    }
    assert router.calls == []


def test_models_have_the_fields_of_both_formats() -> None:
    gate = build_gate()
    listed = call(gate, "GET", "/v1/models").json()
    assert [(entry["id"], entry["object"], entry["type"]) for entry in listed["data"]] == [
        ("local-chat", "model", "model"),
        ("org/embed", "model", "model"),
    ]
    assert listed["data"][0]["context_length"] == 4096
    assert "context_length" not in listed["data"][1]
    assert "supports_tools" not in listed["data"][0]  # nobody knows
    assert call(gate, "GET", "/v1/models/org/embed").json()["id"] == "org/embed"
    missing = call(gate, "GET", "/v1/models/nothing")
    assert (missing.status_code, error_of(missing)["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("path", "content", "status", "code"),
    [
        (CHAT, b"{bad", 400, "invalid_json"),
        (CHAT, b"", 400, "invalid_json"),
        (CHAT, b'{"model": "\xff"}', 400, "invalid_json"),
        (CHAT, b"[" * 100_000, 400, "invalid_json"),
        (CHAT, b"[]", 400, "invalid_json"),
        (CHAT, b"{}", 400, "missing_model"),
        (CHAT, b'{"model": 1}', 400, "missing_model"),
        (CHAT, b'{"model": "nope"}', 404, "model_not_found"),
        (CHAT, b'{"model": "org/embed"}', 400, "wrong_model_mode"),
        ("/v1/embeddings", b'{"model": "local-chat"}', 400, "wrong_model_mode"),
        ("/v1/rerank", b'{"model": "org/embed"}', 400, "wrong_model_mode"),
        (CHAT, b'{"model": "local-chat", "messages": [], "api_base": "http://x"}', 400, "unsupported_parameter"),
        (CHAT, b'{"model": "local-chat", "mock_response": "x"}', 400, "unsupported_parameter"),
        (CHAT, b'{"model": "local-chat", "litellm_metadata": {}}', 400, "unsupported_parameter"),
        (CHAT, b'{"model": "local-chat"}', 400, "missing_parameter"),
    ],
)
def test_what_cannot_be_served_is_refused_before_any_server(path: str, content: bytes, status: int, code: str) -> None:
    router = ScriptedRouter()
    response = call(build_gate(router), "POST", path, content=content)
    assert (response.status_code, error_of(response)["code"]) == (status, code)
    assert router.calls == []


def test_an_unknown_model_is_named() -> None:
    assert "'nope'" in error_of(call(build_gate(), "POST", CHAT, json={"model": "nope"}))["message"]


async def _stream(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 512):
        yield b" " * 512


@pytest.mark.parametrize("is_declared", [True, False])
def test_a_body_over_the_limit_is_413_declared_or_not(is_declared: bool) -> None:
    router = ScriptedRouter()
    content = b" " * 4096 if is_declared else _stream(4096)
    response = call(build_gate(router, GATEWAY_MAX_BODY_BYTES="2048"), "POST", CHAT, content=content)
    assert (response.status_code, error_of(response)["code"]) == (413, "request_too_large")
    assert router.calls == []


def test_a_body_at_the_limit_is_served() -> None:
    body = json.dumps(BODY).encode().ljust(2048)
    assert call(build_gate(GATEWAY_MAX_BODY_BYTES="2048"), "POST", CHAT, content=body).status_code == 200


def test_an_alias_is_served_and_listed_where_it_is_asked_for() -> None:
    router = ScriptedRouter()
    assert call(build_gate(router), "POST", CHAT, json={**BODY, "model": "claude-opus-9"}).status_code == 200
    assert router.calls[0].asked == "claude-opus-9"
    assert call(build_gate(), "GET", "/v1/models/claude-x").json()["alias_of"] == "local-chat"
    listed = call(build_gate(), "GET", "/v1/models?aliases=true").json()["data"]
    assert [entry["id"] for entry in listed] == ["local-chat", "org/embed", "claude-*"]
    assert len(call(build_gate(), "GET", "/v1/models").json()["data"]) == 2


def test_a_route_sees_the_fields_and_nothing_else_of_the_request() -> None:
    router = ScriptedRouter()
    headers = {"x-api-key": CLIENT, "cookie": SECRET, "x-litellm-timeout": "1", "anthropic-version": "2023-06-01"}
    call(build_gate(router), "POST", f"{CHAT}?api_base={SECRET}", headers=headers, json=BODY)
    (seen,) = router.calls
    assert seen.body == BODY
    assert seen.headers == {"anthropic-version": "2023-06-01"}
    assert (seen.caller.name, seen.format) == ("client", "chat")


def test_every_answer_has_an_id_of_its_own() -> None:
    gate = build_gate()
    ids = {call(gate, "GET", path).headers["x-request-id"] for path in ("/v1/models", "/health", "/nothing")}
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (CONFIG.replace("aliases:", "embeddings: false\n  aliases:"), "switched off"),
        (CONFIG.replace("mode: embedding", "mode: chat"), "No embedding model"),
    ],
)
def test_embeddings_that_are_not_there_have_one_answer(config: str, words: str) -> None:
    response = call(build_gate(config=config), "POST", "/v1/embeddings", json={"model": "org/embed", "input": "x"})
    assert (response.status_code, error_of(response)["code"]) == (503, "embeddings_unavailable")
    assert words in error_of(response)["message"]


def test_embeddings_that_fail_have_the_same_answer_and_come_back() -> None:
    router = ScriptedRouter(raised=RefusedError(ApiError(504, "upstream_timeout", "It did not answer.")))
    gate = build_gate(router)
    body = {"model": "org/embed", "input": "x"}
    failed = call(gate, "POST", "/v1/embeddings", json=body)
    assert (failed.status_code, error_of(failed)["code"]) == (503, "embeddings_unavailable")
    assert "It did not answer." in error_of(failed)["message"]
    router.raised = None
    assert call(gate, "POST", "/v1/embeddings", json=body).status_code == 200


def test_a_format_that_is_switched_off_is_no_route() -> None:
    gate = build_gate(config=CONFIG.replace("aliases:", "formats: [chat]\n  aliases:"))
    assert call(gate, "POST", CHAT, json=BODY).status_code == 200
    assert call(gate, "POST", "/v1/messages", json=BODY).status_code == 404


def test_the_page_of_outcomes_is_current() -> None:
    page = Path(__file__).parents[3] / "docs/reference/outcomes.md"
    assert page.read_text(encoding="utf-8") == render_outcomes(), "run `make docs`"


def test_head_is_answered_like_get_without_a_body() -> None:
    got, headed = (call(build_gate(), method, "/v1/models") for method in ("GET", "HEAD"))
    assert (headed.status_code, headed.content) == (200, b"")
    assert headed.headers["content-length"] == got.headers["content-length"] == str(len(got.content))


def test_a_page_may_call_from_an_allowed_origin_only() -> None:
    config = CONFIG.replace("aliases:", 'cors_origins: ["https://chat.example"]\n  aliases:')
    asked = {"origin": "https://chat.example", "access-control-request-method": "POST"}
    preflight = call(build_gate(config=config), "OPTIONS", CHAT, None, headers=asked)
    assert (preflight.status_code, preflight.content) == (204, b"")
    assert preflight.headers["access-control-allow-origin"] == "https://chat.example"
    answered = call(build_gate(config=config), "POST", CHAT, headers=asked, json=BODY)
    assert answered.headers["access-control-allow-origin"] == "https://chat.example"
    for gate, origin in ((build_gate(config=config), "https://evil.example"), (build_gate(), "https://chat.example")):
        foreign = call(gate, "OPTIONS", CHAT, None, headers={**asked, "origin": origin})
        assert not [name for name in foreign.headers if name.startswith("access-control")]


def test_a_request_keeps_its_own_id() -> None:
    assert call(build_gate(), "GET", "/health", headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"


def test_a_wrong_address_is_told_the_right_one() -> None:
    error = error_of(call(build_gate(), "POST", "/v1/v1/chat/completions/", json=BODY))
    assert "Did you mean POST /v1/chat/completions?" in error["message"]


def test_a_packed_body_is_served() -> None:
    router = ScriptedRouter()
    packed = gzip.compress(json.dumps(BODY).encode())
    assert call(build_gate(router), "POST", CHAT, content=packed, headers={"content-encoding": "gzip"}).is_success
    assert router.calls[0].body == BODY
