"""Fields of a request in Anthropic's format, each in the words of a chat completion or refused by its name."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from gateway.formats.messages import build_count_body, translate

from tests.anthropic_events import Json
from tests.unit.gateway.messages.requests import CALL, PIXEL, WEATHER, convert, refusal


def test_a_plain_request_keeps_its_fields() -> None:
    assert convert(temperature=0.5, top_p=0.9, top_k=3, min_p=0.1, stream=True) == {
        "model": "m",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 3,
        "min_p": 0.1,
    }


def test_the_request_itself_is_not_changed() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": [PIXEL]}], "tools": [WEATHER]}
    before = orjson.dumps(body)
    translate(body)
    assert orjson.dumps(body) == before


def test_what_concerns_accounts_and_caches_goes_nowhere() -> None:
    fields: Json = {
        "metadata": {"user_id": "somebody"},
        "service_tier": "auto",
        "cache_control": {"type": "ephemeral"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "container": None,
        "mcp_servers": [],
    }
    assert convert(**fields) == convert()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"container": "c"}, "container"),
        ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
        ({"inference_geo": "eu"}, "inference_geo"),
        ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, "context_management.edits.0.type"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"stop_sequences": [""]}, "stop_sequences"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [5]}, "messages.0"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"content": [{"text": "x"}]}, "messages.0.content.0"),
        ({"content": [{"type": "text"}]}, "messages.0.content.0.text"),
        ({"system": 5}, "system"),
        ({"system": [PIXEL]}, "system.0.type"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "loud"}}, "thinking.type"),
        ({"thinking": "on"}, "thinking.type"),
        ({"output_config": {"effort": "huge"}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"output_format": {"type": "json_schema"}}, "output_format.schema"),
    ],
)
def test_refusals_name_the_field(fields: Json, param: str) -> None:
    assert refusal(**fields) == param


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {}),
        ({"thinking": {"type": "adaptive"}}, {}),
        ({"thinking": {"type": "disabled"}}, {"chat_template_kwargs": {"enable_thinking": False}}),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2000}},
            {"chat_template_kwargs": {"enable_thinking": True}, "thinking_budget_tokens": 2000},
        ),
        ({"output_config": {"effort": "max"}}, {"reasoning_effort": "high"}),
        ({"output_config": {"effort": "low"}}, {"reasoning_effort": "low"}),
        (
            {"output_config": {"effort": "low"}, "thinking": {"type": "disabled"}},
            {"chat_template_kwargs": {"enable_thinking": False}},
        ),
    ],
)
def test_thinking_is_said_in_the_engines_words(fields: Json, expected: Json) -> None:
    chat = convert(**fields)
    assert {name: chat[name] for name in chat.keys() - convert().keys()} == expected


def test_stop_sequences_are_asked_back() -> None:
    chat = convert(stop_sequences=["END", "\n\n"])
    assert chat["stop"] == ["END", "\n\n"]
    assert chat["verbose"] is True
    assert chat["response_fields"] == ["stopping_word"]
    assert convert(stop_sequences=[]) == convert()


@pytest.mark.parametrize("name", ["output_config", "output_format"])
def test_a_schema_of_the_answer(name: str) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    given_ = {"type": "json_schema", "schema": schema}
    chat = convert(**{name: {"format": given_} if name == "output_config" else given_})
    assert chat["response_format"]["json_schema"]["schema"] == schema


def test_counting_asks_for_the_same_prompt_and_nothing_else() -> None:
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [WEATHER],
        "system": "Be good.",
        "thinking": {"type": "disabled"},
        "stop_sequences": ["x"],
    }
    chat = build_count_body(body)
    assert chat == {
        name: value for name, value in translate(body)[0].items() if name not in ("stop", "verbose", "response_fields")
    }
    assert chat.keys() == {"model", "messages", "tools", "chat_template_kwargs"}


def test_input_that_is_nested_too_deeply_is_refused() -> None:
    deep: Any = {}
    for _ in range(300):
        deep = {"a": deep}
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": [{**CALL, "input": deep}]}]
    assert refusal(messages=messages) == "messages.1.content.0.input"
