"""POST /api/v1/chat at a real gateway with the demo model: answers, streams, errors, who may ask."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.chat_service import CHAT, ChatApi
from tests.integration.stack_site import ANSWERS, ENDLESS_QUESTION, Site
from tests.waiting import wait_for

QUESTION = "What are you?"
CANARY = "planted-canary-4f1d"


@pytest.fixture
def client(chat_api: ChatApi) -> Iterator[httpx.Client]:
    with chat_api.client() as client:
        yield client


def read_events(text: str) -> list[tuple[str, Any]]:
    """Names and values of server-sent events."""
    blocks = [block.splitlines() for block in text.split("\n\n") if block]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


def test_an_answer_has_every_field(client: httpx.Client) -> None:
    sent = {"session_id": "test_session", "user_message": QUESTION, "free_mode": True, "instructions": "Be brief."}
    response = client.post(CHAT, json={**sent, "instructions": ""})
    answer = response.json()
    assert (response.status_code, answer["response_text"]) == (200, ANSWERS[QUESTION])
    assert answer["total_tokens_used"] == answer["input_tokens"] + answer["output_tokens"] > 10
    assert {name: answer[name] for name in ("session_id", "model", "output_format", "temperature", "success")} == {
        "session_id": "test_session", "model": "local-chat", "output_format": "text", "temperature": 0, "success": True,
    }  # fmt: skip
    assert answer["error_message"] is None
    assert answer["api_key_source"] == "default"
    assert answer["response_time"] > 0
    assert answer["created_at"].endswith("Z")


def test_a_stream_ends_with_the_same_answer(client: httpx.Client) -> None:
    sent = {"user_message": QUESTION, "free_mode": True}
    response = client.post(CHAT, json=sent, params={"stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    *deltas, (last, answer) = read_events(response.text)
    assert {name for name, _ in deltas} == {"delta"}
    assert "".join(data["text"] for _, data in deltas) == ANSWERS[QUESTION]
    whole = client.post(CHAT, json=sent).json()
    varying = {"created_at", "response_time"}
    assert last == "end"
    assert {k: v for k, v in answer.items() if k not in varying} == {k: v for k, v in whole.items() if k not in varying}


def test_what_a_model_is_sent_counts(client: httpx.Client) -> None:
    """Each part of the system message, and the history, reach the model: the engine counts their tokens."""
    bare = {"user_message": QUESTION, "free_mode": True, "max_tokens": 1}
    parts = {"system_message": "Be exact. " * 5, "role": "a guide", "instructions": "Be brief.",
             "memory_context": ["It rains."], "conversation_history": ["user: ping", "assistant: pong"]}  # fmt: skip
    base = client.post(CHAT, json=bare).json()["input_tokens"]
    for name, value in parts.items():
        assert client.post(CHAT, json={**bare, name: value}).json()["input_tokens"] > base, name


@pytest.mark.parametrize(
    ("sent", "headers", "expected"),
    [
        ({}, {}, (401, "key_needed", "validation")),
        ({"free_mode": False, "openai_api_key": ""}, {}, (401, "key_needed", "validation")),
        ({"openai_api_key": "sk-wrong"}, {}, (401, "invalid_key", "validation")),
        ({"openai_api_key": "sk-wrong", "free_mode": True}, {}, (401, "invalid_key", "validation")),
        ({"openai_api_key": "sk-one"}, {"authorization": "Bearer sk-two"}, (400, "keys_differ", "validation")),
        ({"free_mode": True, "model": "no-such-model"}, {}, (404, "model_not_found", "openai_client")),
        ({"free_mode": True, "user_message": " "}, {}, (422, "user_message_empty", "validation")),
        ({"free_mode": True, "temperature": 3}, {}, (422, "invalid_request", "validation")),
        ({"free_mode": True, "conversation_history": [{"role": "system", "content": "x"}]}, {},
         (422, "role_not_allowed", "validation")),
        ({"free_mode": True, "user_message": "a" * 60_000}, {}, (400, "context_length_exceeded", "openai_client")),
    ],
)  # fmt: skip
def test_a_refusal_is_a_problem_document(
    client: httpx.Client, sent: dict[str, Any], headers: dict[str, str], expected: tuple[int, str, str]
) -> None:
    response = client.post(CHAT, json={"user_message": QUESTION, **sent}, headers=headers)
    problem = response.json()
    assert (response.status_code, problem["code"], problem["kind"]) == expected
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["status"] == response.status_code
    assert problem["success"] is False
    assert problem["error_message"] == problem["detail"]
    assert problem["request_id"] == response.headers["x-request-id"]
    assert "127.0.0.1" not in response.text


def test_a_key_of_the_caller_is_the_one_that_is_used(client: httpx.Client, chat_site: Site) -> None:
    key = chat_site.run_json("keys", "create", "chat-caller", "--models", "local-code")["secret"]
    for free_mode in (True, False):
        sent = {"user_message": "ping", "openai_api_key": key, "free_mode": free_mode}
        refused = client.post(CHAT, json=sent)
        assert (refused.status_code, refused.json()["code"]) == (403, "model_not_allowed")
    own = chat_site.keys["GATEWAY_KEY"]
    answer = client.post(CHAT, json={"user_message": "ping"}, headers={"x-api-key": own}).json()
    assert (answer["response_text"], answer["api_key_source"]) == ("pong", "user")


def test_errors_are_told_in_korean_and_in_english(client: httpx.Client) -> None:
    said = {}
    for language in ("ko-KR,ko;q=0.9,en;q=0.8", "en", "fr"):
        problem = client.post(CHAT, json={"temperature": 9}, headers={"accept-language": language})
        said[language[:2]] = problem.json()["error_message"]
        assert problem.headers["content-language"] == ("ko" if language.startswith("ko") else "en")
    assert "temperature: 2 이하" in said["ko"]
    assert "temperature: at most 2" in said["en"]
    assert said["fr"] == said["en"]


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"content-type": "text/plain"}, b"{}", (415, "unsupported_media_type")),
        ({"content-type": "application/x-www-form-urlencoded"}, b"a=b", (415, "unsupported_media_type")),
        ({}, b"", (400, "invalid_json")),
        ({}, b"[1]", (400, "invalid_json")),
        ({}, b'{"user_message": "\\ud800"}', (400, "invalid_json")),
        ({}, b'{"user_message": "\xff"}', (400, "invalid_json")),
        ({}, b"[" * 100_000, (400, "invalid_json")),
        ({}, b'{"user_message": "' + b"a" * 5_000_000 + b'"}', (413, "body_too_large")),
        ({"host": "evil.example"}, b"{}", (421, "host_not_allowed")),
        ({"origin": "http://evil.example"}, b"{}", (403, "origin_not_allowed")),
        ({"origin": "null"}, b"{}", (403, "origin_not_allowed")),
        ({"sec-fetch-site": "cross-site"}, b"{}", (403, "origin_not_allowed")),
    ],
)
def test_what_is_no_request_of_ours_is_refused(
    client: httpx.Client, headers: dict[str, str], body: bytes, expected: tuple[int, str]
) -> None:
    response = client.post(CHAT, content=body, headers={"content-type": "application/json", **headers})
    assert (response.status_code, response.json()["code"]) == expected
    assert "access-control-allow-origin" not in response.headers


def test_unknown_addresses_are_problems_too(client: httpx.Client) -> None:
    assert (answer := client.get("/nothing")).json()["code"] == "not_found"
    assert answer.status_code == 404
    assert (answer := client.get(CHAT)).json()["code"] == "method_not_allowed"
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_a_client_that_leaves_frees_its_place(client: httpx.Client, chat_api: ChatApi) -> None:
    """Whole and streamed: the endless answer would hold its slot until the context is full."""
    sent = {"user_message": ENDLESS_QUESTION, "free_mode": True, "max_tokens": 100_000}
    with client.stream("POST", CHAT, json=sent, params={"stream": True}) as response:
        next(response.iter_bytes())
    with pytest.raises(httpx.ReadTimeout):
        client.post(CHAT, json=sent, timeout=1)
    wait_for(lambda: "chat_api_requests_inside 0.0" in client.get("/metrics").text, "the end of both")
    wait_for(lambda: chat_api.read_log().count('"status":499') == 2, "their lines")


def test_nothing_of_a_conversation_is_in_log_or_metrics(client: httpx.Client, chat_api: ChatApi) -> None:
    sent = dict.fromkeys(("session_id", "system_message", "user_message", "role", "instructions"), CANARY)
    for more in ({"free_mode": True}, {"openai_api_key": CANARY}, {"free_mode": True, "model": CANARY}, {CANARY: 1}):
        for stream in (True, False):
            client.post(CHAT, json={**sent, **more}, params={"stream": stream})
    client.post(CHAT, content=f'{{"temperature": "{CANARY}"}}', headers={"content-type": "application/json"})
    client.get(f"/{CANARY}")
    assert CANARY not in client.get("/metrics").text
    lines = [json.loads(line) for line in chat_api.read_log().splitlines()]
    assert CANARY not in chat_api.read_log()
    assert {"request", "route", "status", "duration_s"} <= lines[-1].keys()


def test_health_and_metrics(client: httpx.Client) -> None:
    assert client.get("/health/live").json() == {"status": "ok"}
    assert client.get("/health/ready").json() == {"status": "ok"}
    assert 'chat_api_requests_total{route="/api/v1/chat",status="200"}' in client.get("/metrics").text
    document = client.get("/openapi.json").json()
    assert {"/api/v1/chat", "/health/ready"} <= document["paths"].keys()
    assert document["components"]["schemas"]["ChatRequest"]["examples"]
