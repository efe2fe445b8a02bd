"""The allow-list of fields: what passes, what is refused in which words, and that any body is one or the other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gateway.edge.bodies import parse_object
from gateway.errors import ApiError, RefusedError
from gateway.policy.fields import TABLES, check_fields, fit_server
from gateway.policy.page import render_fields
from gateway.policy.tables.field import Treatment
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.gateway.least_requests import LEAST, keep, refuse

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
