"""Tools of a request in Anthropic's format, and the choice among them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.anthropic_events import Json
from tests.unit.gateway.messages.requests import WEATHER, convert, refusal


def test_tools_become_functions() -> None:
    tool = {**WEATHER, "type": "custom", "cache_control": {"type": "ephemeral"}, "eager_input_streaming": True}
    function = {"name": "weather", "description": "Tells it.", "parameters": WEATHER["input_schema"]}
    assert convert(tools=[tool])["tools"] == [{"type": "function", "function": function}]
    strict = convert(tools=[{**WEATHER, "strict": True, "input_examples": [{"city": "Seoul"}]}])["tools"][0]["function"]
    assert strict["strict"] is True
    assert strict["description"] == 'Tells it.\nExample: {"city":"Seoul"}'


@pytest.mark.parametrize(
    ("tool", "field"),
    [
        ({"type": "web_search_20250305", "name": "web_search"}, ".type"),
        ({"type": "computer_20250124", "name": "computer"}, ".type"),
        ({"type": "bash_20250124", "name": "bash"}, ".type"),
        ({"type": ["custom"], "name": "x", "input_schema": {}}, ".type"),
        ({"name": "x"}, ".input_schema"),
        ({"input_schema": {}}, ".name"),
        ({**WEATHER, "allowed_callers": ["code_execution_20250825"]}, ".allowed_callers"),
        ({**WEATHER, "description": 5}, ".description"),
        (5, ""),
    ],
)
def test_tools_that_the_client_does_not_describe_are_refused(tool: Any, field: str) -> None:
    assert refusal(tools=[WEATHER, tool]) == f"tools.1{field}"


def test_deferred_tools_are_told_once_a_result_refers_to_them() -> None:
    deferred = {**WEATHER, "name": "maps", "defer_loading": True}
    assert [tool["function"]["name"] for tool in convert(tools=[WEATHER, deferred])["tools"]] == ["weather"]
    reference = {"type": "tool_reference", "tool_name": "maps"}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [reference]}
    assert [tool["function"]["name"] for tool in convert([result], tools=[WEATHER, deferred])["tools"]] == [
        "weather",
        "maps",
    ]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "any"}, {"tool_choice": "required"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        ({"type": "tool", "name": "weather"}, {"tool_choice": {"type": "function", "function": {"name": "weather"}}}),
        ({"type": "auto", "disable_parallel_tool_use": True}, {"tool_choice": "auto", "parallel_tool_calls": False}),
        ({"type": "auto", "disable_parallel_tool_use": False}, {"tool_choice": "auto"}),
    ],
)
def test_tool_choices(choice: Json, expected: Json) -> None:
    chat = convert(tools=[WEATHER], tool_choice=choice)
    assert {name: chat[name] for name in chat.keys() - convert(tools=[WEATHER]).keys()} == expected


def test_tool_choices_without_their_tools() -> None:
    assert convert(tool_choice={"type": "auto", "disable_parallel_tool_use": True}) == convert()
    assert refusal(tool_choice={"type": "any"}) == "tool_choice.type"
    assert refusal(tools=[WEATHER], tool_choice={"type": "tool", "name": "maps"}) == "tool_choice.name"
    assert refusal(tools=[WEATHER], tool_choice={"type": "tool"}) == "tool_choice.name"
    assert refusal(tools=[WEATHER], tool_choice={"type": "sometimes"}) == "tool_choice.type"
    assert refusal(tools=[WEATHER], tool_choice="auto") == "tool_choice"
