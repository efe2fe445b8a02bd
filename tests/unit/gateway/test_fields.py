"""The allow-list of fields: what passes, what is refused in which words, and that the SDKs' own fields are decided."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
from anthropic.types import message_count_tokens_params, message_create_params
from anthropic.types.beta import message_count_tokens_params as beta_count_params
from anthropic.types.beta import message_create_params as beta_create_params
from gateway.edge.bodies import parse_object
from gateway.errors import ApiError, RefusedError
from gateway.policy.fields import TABLES, check_fields, fit_server
from gateway.policy.page import render_fields
from gateway.policy.tables.field import Treatment
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types import completion_create_params, embedding_create_params
from openai.types.chat import completion_create_params as chat_create_params
from openai.types.responses import input_token_count_params, response_create_params

TALK = [{"role": "user", "content": "hi"}]
LEAST: Mapping[str, dict[str, Any]] = {
    "chat": {"model": "m", "messages": TALK},
    "completions": {"model": "m", "prompt": "hi"},
    "embeddings": {"model": "m", "input": "hi"},
    "rerank": {"model": "m", "query": "hi", "documents": ["a"]},
    "messages": {"model": "m", "messages": TALK, "max_tokens": 9},
    "messages_count": {"model": "m", "messages": TALK},
    "responses": {"model": "m", "input": "hi"},
    "responses_count": {"model": "m", "input": "hi"},
}


def refuse(request_format: str, **fields: Any) -> ApiError:
    with pytest.raises(RefusedError) as caught:
        check_fields(request_format, {**LEAST[request_format], **fields})
    return caught.value.error


def keep(request_format: str, **fields: Any) -> dict[str, Any]:
    """What goes on beside the least that the format needs."""
    kept = check_fields(request_format, {**LEAST[request_format], **fields})
    assert {name: kept.pop(name) for name in LEAST[request_format]} == LEAST[request_format]
    return kept


def list_names(*types: Any) -> set[str]:
    """The fields of an SDK's request types: a TypedDict with its bases, or a union of them."""
    names: set[str] = set()
    for kind in types:
        for one in get_args(kind) or (kind,):
            names |= set(one.__required_keys__ | one.__optional_keys__)
    return names


@pytest.mark.parametrize(
    ("request_format", "types"),
    [
        ("chat", [chat_create_params.CompletionCreateParams]),
        ("completions", [completion_create_params.CompletionCreateParams]),
        ("embeddings", [embedding_create_params.EmbeddingCreateParams]),
        ("responses", [response_create_params.ResponseCreateParams, input_token_count_params.InputTokenCountParams]),
        (
            "messages",
            [
                message_create_params.MessageCreateParams,
                message_count_tokens_params.MessageCountTokensParams,
                beta_create_params.MessageCreateParams,
                beta_count_params.MessageCountTokensParams,
            ],
        ),
    ],
)
def test_every_field_of_the_sdks_is_decided(request_format: str, types: list[Any]) -> None:
    names = list_names(*types)
    assert "model" in names
    undecided = sorted(names - TABLES[request_format].fields.keys())
    assert undecided == [], f"decide on them in gateway/policy/tables: {undecided}"


# What clients were seen to send, field by field; values are examples.
CLIENTS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "Claude Code": (
        "messages",
        {
            "system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}],
            "tools": [{"name": "f", "input_schema": {}}],
            "metadata": {"user_id": "u"},
            "thinking": {"type": "adaptive"},
            "context_management": {"edits": [{"type": "clear_thinking_20251015"}]},
            "output_config": {"effort": "high"},
            "temperature": 1,
            "stream": True,
        },
    ),
    "Claude Code, counting": ("messages_count", {"tools": [], "thinking": {"type": "enabled", "budget_tokens": 9}}),
    "Codex": (
        "responses",
        {
            "instructions": "x",
            "input": [{"type": "message", "role": "user", "content": []}],
            "tools": [{"type": "function", "name": "f"}],
            "tool_choice": "auto",
            "parallel_tool_calls": False,
            "reasoning": {"effort": "medium", "summary": "auto"},
            "store": False,
            "stream": True,
            "include": ["reasoning.encrypted_content"],
            "prompt_cache_key": "k",
            "service_tier": "auto",
            "client_metadata": {"x-codex-installation-id": "i"},
            "text": {"verbosity": "medium"},
        },
    ),
    "opencode": (
        "chat",
        {
            "max_tokens": 32000,
            "temperature": 0,
            "top_p": 1,
            "tools": [{"type": "function"}],
            "tool_choice": "auto",
            "stream": True,
            "stream_options": {"include_usage": True},
            "reasoning_effort": "medium",
        },
    ),
    "Continue": (
        "chat",
        {"max_tokens": 4096, "stop": ["</s>"], "prediction": {"type": "content", "content": "x"}, "stream": True},
    ),
    "Cline": ("chat", {"temperature": 0, "stream": True, "stream_options": {"include_usage": True}}),
    "aider": ("chat", {"temperature": 0, "stream": True}),
    "LangChain": (
        "chat",
        {"n": 1, "logprobs": False, "seed": 7, "parallel_tool_calls": False, "response_format": {"type": "text"}},
    ),
    "LangChain's embeddings": ("embeddings", {"input": [[1, 2], [3]], "encoding_format": "base64"}),
    "llama.cpp's page": (
        "chat",
        {
            "max_tokens": -1,
            "cache_prompt": True,
            "samplers": ["top_k", "temperature"],
            "timings_per_token": True,
            "return_progress": True,
            "reasoning_format": "auto",
            "dry_multiplier": 0,
            "top_k": 40.0,
        },
    ),
    "vLLM's users": ("chat", {"repetition_penalty": 1.1, "chat_template_kwargs": {"enable_thinking": False}}),
    "Open WebUI": ("chat", {"metadata": {"chat_id": "c"}, "keep_alive": "5m", "stream": True}),
    "Dify's reranker": ("rerank", {"top_n": 3, "return_documents": True}),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_what_clients_send_passes(client: str) -> None:
    request_format, fields = CLIENTS[client]
    check_fields(request_format, {**LEAST[request_format], **fields})


STEERING_NAMES = (
    *("api_base", "api_key", "base_url", "custom_llm_provider", "disable_fallbacks", "extra_body", "extra_headers"),
    *("fallbacks", "id_slot", "litellm_metadata", "mock_response", "mock_testing_fallbacks", "model_list", "n_cmpl"),
    *("no-log", "num_retries", "priority", "specific_deployment", "speculative.n_max", "tags", "timeout"),
    *("vertex_project", "aws_anything"),
)


@pytest.mark.parametrize("request_format", TABLES)
def test_what_steers_is_refused_on_every_format_whatever_its_value(request_format: str) -> None:
    for name in STEERING_NAMES:
        for value in (None, 0, "planted-secret", {"api_key": "planted-secret"}):
            error = refuse(request_format, **{name: value})
            assert (error.status, error.code, error.param) == (400, "unsupported_parameter", name)
            assert error.message.startswith(f"Parameter '{name}' is not accepted: ")
            assert "planted-secret" not in error.message


@pytest.mark.parametrize(
    ("request_format", "name", "hint"),
    [
        ("chat", "temprature", "temperature"),
        ("chat", "max_output_tokens", "max_tokens"),
        ("chat", "prompt", "messages"),
        ("chat", "stop_sequences", "stop"),
        ("messages", "stop", "stop_sequences"),
        ("messages", "max_new_tokens", "max_tokens"),
        ("responses", "messages", "input"),
        ("responses", "max_tokens", "max_output_tokens"),
        ("embeddings", "inputs", "input"),
        ("rerank", "texts", "documents"),
        ("completions", "messages", "prompt"),
    ],
)
def test_an_unknown_field_is_named_with_the_nearest_known_one(request_format: str, name: str, hint: str) -> None:
    error = refuse(request_format, **{name: "x"})
    assert error == ApiError(
        400, "unsupported_parameter", f"Parameter '{name}' is not known here; did you mean '{hint}'?", name
    )


def test_an_unknown_field_like_no_other_gets_no_hint() -> None:
    assert refuse("chat", zzz=1).message == "Parameter 'zzz' is not known here."


@pytest.mark.parametrize("name", ["sk-0123456789abcdef", "a b", "", "x" * 65, "ü", "a\n", "__proto__"])
def test_a_name_that_is_no_word_is_not_repeated(name: str) -> None:
    error = refuse("chat", **{name: 1})
    assert (error.message, error.param) == ("A parameter whose name is no plain word is not accepted.", None)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"functions": [{"name": "f"}]}, "OpenAI has replaced it; send 'tools'"),
        ({"modalities": ["text", "audio"]}, "answers are texts"),
        ({"web_search_options": {"user_location": {}}}, "nothing is searched outside"),
        ({"think": False}, "send 'reasoning_effort'"),
        ({"enable_thinking": False}, "send it within 'chat_template_kwargs'"),
    ],
)
def test_what_cannot_be_honoured_says_what_can(fields: dict[str, Any], words: str) -> None:
    error = refuse("chat", **fields)
    assert (error.code, error.param) == ("unsupported_parameter", next(iter(fields)))
    assert words in error.message


def test_a_refused_field_that_asks_for_nothing_is_left_out() -> None:
    nothing = {"functions": [], "modalities": ["text"], "audio": None, "function_call": "auto", "echo": False}
    assert keep("chat", **nothing) == {}
    assert keep("completions", best_of=1, echo=False) == {}


def test_fields_that_change_no_answer_are_left_out_and_null_is_not_sent() -> None:
    assert keep("chat", store=True, metadata={"a": "b"}, service_tier="priority", keep_alive=-1, seed=None) == {}


def test_a_field_of_another_name_goes_on_under_the_usual_one() -> None:
    assert keep("chat", n_predict=5) == {"max_tokens": 5}
    assert keep("chat", n_predict=5, max_tokens=7) == {"max_tokens": 7}


@pytest.mark.parametrize(
    ("fields", "param", "kind"),
    [
        ({"temperature": "0.7"}, "temperature", "a number"),
        ({"temperature": True}, "temperature", "a number"),
        ({"max_tokens": 1.5}, "max_tokens", "a whole number"),
        ({"n": True}, "n", "a whole number"),
        ({"stream": "true"}, "stream", "a truth value"),
        ({"stop": 3}, "stop", "a text or list"),
        ({"stop": ["a", 3]}, "stop[1]", "a text"),
        ({"tools": {}}, "tools", "a list"),
        ({"tools": ["f"]}, "tools[0]", "an object"),
        ({"messages": "hi"}, "messages", "a list"),
        ({"messages": [{}, "hi"]}, "messages[1]", "an object"),
        ({"response_format": "json"}, "response_format", "an object"),
    ],
)
def test_a_value_of_the_wrong_kind_says_which_is_right(fields: dict[str, Any], param: str, kind: str) -> None:
    assert refuse("chat", **fields) == ApiError(400, "invalid_parameter", f"Parameter '{param}' must be {kind}.", param)


@pytest.mark.parametrize("request_format", TABLES)
def test_what_is_required_is_asked_for(request_format: str) -> None:
    for name in set(LEAST[request_format]) - {"max_tokens"}:
        if TABLES[request_format].fields[name].is_required:
            assert refuse(request_format, **{name: None}).message == f"Parameter '{name}' is missing."


@pytest.mark.parametrize(
    ("request_format", "name"), [("chat", "messages"), ("embeddings", "input"), ("rerank", "documents")]
)
def test_an_empty_list_asks_for_nothing(request_format: str, name: str) -> None:
    assert refuse(request_format, **{name: []}).message == f"Parameter '{name}' is an empty list."


def test_a_server_gets_what_it_knows() -> None:
    body = check_fields("chat", {**LEAST["chat"], "top_k": 40, "cache_prompt": True, "temperature": 0, "user": "u"})
    assert fit_server("chat", body, "engine") == (body, ())
    assert fit_server("chat", body, "internal") == (body, ())
    sent, names = fit_server("chat", body, "openai")
    assert sent == {**LEAST["chat"], "temperature": 0, "user": "u"}
    assert names == ("top_k", "cache_prompt")


@pytest.mark.parametrize(
    ("kind", "fields", "owner"),
    [
        ("engine", {"structured_outputs": {"json": {}}}, "vLLM's"),
        ("vllm", {"grammar": "root ::= x"}, "llama.cpp's"),
        ("openai", {"json_schema": {"type": "object"}}, "llama.cpp's"),
        ("openai", {"continue_final_message": True}, "llama.cpp and vLLM's"),
    ],
)
def test_a_field_whose_answer_would_be_another_is_refused(kind: str, fields: dict[str, Any], owner: str) -> None:
    with pytest.raises(RefusedError) as caught:
        fit_server("chat", {**LEAST["chat"], **fields}, kind)
    error = caught.value.error
    assert (error.status, error.code, error.param) == (400, "unsupported_parameter", next(iter(fields)))
    assert owner in error.message


def test_such_a_field_that_asks_for_nothing_is_left_out() -> None:
    body = {**LEAST["chat"], "use_beam_search": False, "bad_words": []}
    assert fit_server("chat", body, "engine") == (LEAST["chat"], ("use_beam_search", "bad_words"))


def test_every_field_that_is_not_passed_says_why() -> None:
    for table in TABLES.values():
        for field in table.fields.values():
            assert field.why
            assert field.treatment in (Treatment.REFUSED, Treatment.NEVER) or field.kind or field.name == "keep_alive"


def test_the_page_of_fields_is_current() -> None:
    page = Path(__file__).parents[3] / "docs/reference/fields.md"
    assert page.read_text(encoding="utf-8") == render_fields(), "run `make docs`"


KNOWN = sorted({name for table in TABLES.values() for name in table.fields})
ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**64 - 1, 1e308, 0.5, "", "x", "auto", "\0", "\U0001f600", [], {}),
    *([None], [[]], [{}], ["a", 1], [1, 2], {"type": "function"}, {"": {"": []}}, [[[[1]]]]),
]
KINDS = st.sampled_from(["engine", "openai", "vllm", "internal"])
BODIES = st.dictionaries(st.sampled_from(KNOWN) | st.text(max_size=8), st.sampled_from(ODD), max_size=8)


@given(
    st.sampled_from(sorted(TABLES)), BODIES, st.booleans(), st.sampled_from(["engine", "openai", "vllm", "internal"])
)
@settings(max_examples=420, deadline=None)
def test_any_body_is_checked_or_refused(request_format: str, body: dict[str, Any], completed: bool, kind: str) -> None:
    sent = json.dumps({**LEAST[request_format], **body} if completed else body).encode(errors="surrogatepass")
    try:
        kept = check_fields(request_format, parse_object(sent))
        fitted, _ = fit_server(request_format, kept, kind)
    except RefusedError as refusal:
        error = refusal.error
    else:
        assert set(fitted) <= set(kept)
        return
    assert error.status == 400
    assert error.build_body(is_anthropic=False)
