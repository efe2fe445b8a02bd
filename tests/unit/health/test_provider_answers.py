"""What providers are asked, and what their answers and silences are called."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stackctl.core.gateway.providers import RemoteEndpoint
from stackctl.core.health.probes import Status
from stackctl.core.health.provider_questions import ask_models, ask_token, rename_limit
from stackctl.core.health.providers import (
    GatewayView,
    ProviderReply,
    ProviderResult,
    State,
    join_views,
    judge_engine_answer,
    judge_provider,
    judge_token,
    read_gateway_view,
    wants_new_limit,
)
from stackctl.core.stack.runtime import Answer

RESULT = ProviderResult("p", "openai", "http://p/v1", ("big",), State.UNREACHABLE)
LISTED = json.dumps({"data": [{"id": "gpt"}, {"id": "llama3:latest"}]})


def endpoint(**changes: Any) -> RemoteEndpoint:
    facts: dict[str, Any] = {
        "served_name": "big",
        "provider": "p",
        "litellm_model": "openai/org/gpt",
        "mode": "chat",
        "url": "https://llm.example/v1",
        "key_variable": "P_KEY",
        "headers": (("X-Ticket", "TICKET"),),
        "context_length": None,
    }
    return RemoteEndpoint(**facts | changes)


def judge(reply: ProviderReply, models: tuple[str, ...] = ("gpt",)) -> ProviderResult:
    return judge_provider(RESULT, reply, models, "P_KEY")


def test_openais_list_of_models_is_asked_with_its_key_and_headers() -> None:
    question = ask_models("openai", endpoint(), {"P_KEY": "secret-key", "TICKET": "t"})
    assert question.url == "https://llm.example/v1/models"
    assert question.headers == {"authorization": "Bearer secret-key", "X-Ticket": "t"}
    assert question.body is None
    assert "secret-key" not in repr(question)


@pytest.mark.parametrize(
    ("kind", "url", "asked"),
    [
        ("openai", "", "https://api.openai.com/v1/models"),
        ("anthropic", "", "https://api.anthropic.com/v1/models"),
        ("anthropic", "https://a.example", "https://a.example/v1/models"),
        ("ollama", "http://localhost:11434", "http://localhost:11434/v1/models"),
        ("ollama", "http://localhost:11434/v1", "http://localhost:11434/v1/models"),
        ("lm_studio", "http://localhost:1234/v1", "http://localhost:1234/v1/models"),
    ],
)
def test_each_kind_is_asked_where_its_paths_are(kind: str, url: str, asked: str) -> None:
    assert ask_models(kind, endpoint(url=url), {}).url == asked


def test_anthropic_gets_its_key_in_its_own_header() -> None:
    question = ask_token("anthropic", endpoint(headers=()), {"P_KEY": "k"})
    assert question.url.endswith("/v1/messages")
    assert question.headers == {"anthropic-version": "2023-06-01", "x-api-key": "k"}
    assert question.body
    assert question.body["max_tokens"] == 1
    assert question.body["model"] == "org/gpt"


def test_a_token_costs_at_most_five() -> None:
    question = ask_token("openai", endpoint(), {})
    assert question.body
    assert question.body["max_tokens"] == 1
    assert wants_new_limit(ProviderReply(400, "Use 'max_completion_tokens' instead."))
    again = rename_limit(question).body
    assert again
    assert again["max_completion_tokens"] == 5
    assert "max_tokens" not in again
    assert ask_token("vllm", endpoint(mode="embedding"), {}).url.endswith("/embeddings")
    assert ask_token("vllm", endpoint(mode="rerank"), {}).url.endswith("/rerank")


def test_a_provider_that_lists_its_model_is_reachable() -> None:
    result = judge(ProviderReply(200, LISTED, elapsed_s=0.1), ("gpt", "llama3"))
    assert (result.state, result.status, result.detail) == (State.REACHABLE, Status.OK, "lists 2 models")
    slow = judge(ProviderReply(200, LISTED, elapsed_s=4.0))
    assert (slow.state, slow.status) == (State.SLOW, Status.WARNING)
    assert "after 4.0 s" in slow.detail


@pytest.mark.parametrize(
    ("reply", "state", "words"),
    [
        (ProviderReply(401, "{}"), State.REFUSED_KEY, "P_KEY"),
        (ProviderReply(403, "{}"), State.REFUSED_KEY, "P_KEY"),
        (ProviderReply(500, "<html>oh</html>"), State.FAILING, "answered 500: '<html>oh</html>'"),
        (ProviderReply(200, "<html>"), State.FAILING, "no list of models"),
        (ProviderReply(200, '{"data": 3}'), State.FAILING, "no list of models"),
        (ProviderReply(0, failure="unknown name", detail="d"), State.UNKNOWN_NAME, "name server"),
        (ProviderReply(0, failure="wrong certificate", detail="d"), State.WRONG_CERTIFICATE, "PEM"),
        (ProviderReply(0, failure="timed out", detail="no answer within 10 s"), State.TIMED_OUT, "within 10 s"),
        (ProviderReply(0, failure="refused", detail="d"), State.UNREACHABLE, "start it"),
        (ProviderReply(0, failure="proxy", detail="d"), State.UNREACHABLE, "HTTPS_PROXY"),
    ],
)
def test_what_is_wrong_is_named_with_a_next_step(reply: ProviderReply, state: State, words: str) -> None:
    result = judge(reply)
    assert (result.state, result.status) == (state, Status.FAILED)
    assert words in f"{result.detail} {result.hint}"
    assert result.hint


def test_a_model_that_is_not_listed_is_a_warning_and_no_list_at_all_is_none() -> None:
    lacking = judge(ProviderReply(200, LISTED), ("other",))
    assert (lacking.state, lacking.status, lacking.detail) == (State.LACKS_MODEL, Status.WARNING, "does not list other")
    assert judge(ProviderReply(404, "")).state is State.REACHABLE
    assert judge(ProviderReply(200, '{"data": []}')).state is State.REACHABLE


def test_an_engine_is_ready_loading_or_away() -> None:
    assert judge_engine_answer(RESULT, Answer(200)).status is Status.OK
    assert judge_engine_answer(RESULT, Answer(503)).status is Status.LOADING
    assert judge_engine_answer(RESULT, Answer(0, error="refused")).state is State.UNREACHABLE
    assert judge_engine_answer(RESULT, Answer(0, error="no answer within 10 s")).state is State.TIMED_OUT


def test_a_token_that_does_not_come_is_told() -> None:
    good = judge(ProviderReply(200, LISTED))
    answered = judge_token(good, "big", ProviderReply(200, '{"choices": [{}]}', elapsed_s=0.25))
    assert answered.detail == "lists 2 models; big answered in 0.2 s"
    assert answered.status is Status.OK
    empty = judge_token(good, "big", ProviderReply(200, '{"choices": []}'))
    assert (empty.state, empty.status) == (State.FAILING, Status.FAILED)
    refused = judge_token(good, "big", ProviderReply(401, "no"))
    assert refused.state is State.REFUSED_KEY


def test_what_the_gateway_has_seen_is_read_and_joined() -> None:
    body = {
        "targets": [
            {"model": "a", "provider": "p", "state": "ok", "last_error": "upstream_timeout", "last_error_at": 60},
            {"model": "b", "provider": "p", "state": "left out", "last_error": "upstream_error", "last_error_at": 30},
            {"model": "c", "provider": "p", "state": "unknown", "last_error": None, "last_error_at": None},
        ]
    }
    views = read_gateway_view(json.dumps(body))
    assert views["c"] == GatewayView()
    joined = join_views(views.values())
    assert joined == GatewayView("left out", "upstream_timeout", 60)
    assert joined.describe() == "left out; upstream_timeout at 1970-01-01 00:01:00 UTC"
    assert join_views(()).describe() == "unknown"


@pytest.mark.parametrize("body", ["", "null", "[]", '{"targets": 3}', '{"targets": [3]}', "{" * 100_000])
def test_an_answer_of_another_gateway_says_nothing(body: str) -> None:
    assert read_gateway_view(body) == {}
