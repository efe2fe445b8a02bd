"""What of a chat request is refused before it goes to a server of Anthropic's, and what is made ready for it."""

from __future__ import annotations

from typing import Any

import pytest
from gateway.errors import RefusedError
from gateway.formats.anthropic.checks import check_messages, select_fields

USER = {"role": "user", "content": "Go"}
READ = {"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}


def call(arguments: Any) -> dict[str, Any]:
    function = {"name": "read", "arguments": arguments}
    return {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "type": "function", "function": function}]}


def image(url: Any) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}


def test_messages_are_made_ready() -> None:
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "assistant", "content": ""},
        USER | {"name": "Ada"},
        call('{"a": 1}') | {"reasoning_content": "Hm"},
        {"role": "tool", "tool_call_id": "c1", "content": ""},
    ]
    assert check_messages({"messages": messages}) == [
        {"role": "system", "content": "Be brief."},
        USER,
        call('{"a": 1}') | {"content": None},
        {"role": "tool", "tool_call_id": "c1", "content": ""},
    ]


def test_json_mode_is_asked_for_in_words() -> None:
    messages = check_messages({"messages": [USER], "response_format": {"type": "json_object"}})
    assert [message["role"] for message in messages] == ["system", "user"]
    assert "JSON" in messages[0]["content"]


def test_fields_that_anthropic_knows_stay() -> None:
    fields = {
        "max_tokens": 5,
        "temperature": 1.7,
        "top_p": 0.5,
        "tools": [READ],
        "stop": "x",
        "reasoning_effort": "low",
    }
    idle = {
        "seed": 1,
        "min_p": 0.1,
        "frequency_penalty": 0.5,
        "stream": True,
        "stream_options": {},
        "n": 1,
        "logprobs": False,
    }
    selected = select_fields(fields | idle)
    # of the two that newer models refuse together one is left, within Anthropic's bounds
    assert selected == {name: fields[name] for name in fields if name != "top_p"} | {"temperature": 1}
    assert select_fields({"max_tokens": 5, "max_completion_tokens": 6}) == {"max_completion_tokens": 6}
    assert select_fields({"tool_choice": "auto", "tools": [], "parallel_tool_calls": True}) == {}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"audio": {"voice": "a"}}, "audio"),
        ({"functions": [{}]}, "functions"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"stop": 5}, "stop"),
        ({"response_format": "json"}, "response_format"),
        ({"reasoning_effort": "much"}, "reasoning_effort"),
        ({"tools": "read"}, "tools"),
        ({"tools": [READ, {"type": "function"}]}, "tools[1].function.name"),
        ({"tools": [{"function": {"name": "f", "parameters": 5}}]}, "tools[0].function.parameters"),
        ({"tools": [READ], "tool_choice": "any"}, "tool_choice"),
        ({"tools": [READ], "tool_choice": {"type": "function", "function": {"name": "write"}}}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
    ],
)
def test_a_field_that_cannot_be_honoured_is_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RefusedError) as refused:
        select_fields(fields)
    assert (refused.value.error.status, refused.value.error.param) == (400, param)


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ("Go", "messages"),
        ([], "messages"),
        ([{"role": "system", "content": "a"}], "messages"),
        (["Go"], "messages[0]"),
        ([{"role": "function", "content": "a"}], "messages[0].role"),
        ([USER, {"role": "user", "content": ""}], "messages[1].content"),
        ([{"role": "user", "content": 5}], "messages[0].content"),
        ([{"role": "user", "content": [{"type": "input_audio"}]}], "messages[0].content[0].type"),
        ([image("http://10.0.0.1/x.png")], "messages[0].content[0].image_url"),  # LiteLLM would fetch it
        ([image("file:///etc/passwd")], "messages[0].content[0].image_url"),
        ([image("data:image/tiff;base64,AA==")], "messages[0].content[0].image_url"),
        ([image(5)], "messages[0].content[0].image_url"),
        ([USER, call("{broken")], "messages[1].tool_calls[0].function.arguments"),
        ([USER, call("[1]")], "messages[1].tool_calls[0].function.arguments"),
        ([USER, {"role": "assistant", "tool_calls": [{}]}], "messages[1].tool_calls[0].function"),
        ([USER, {"role": "tool", "content": "a"}], "messages[1].tool_call_id"),
    ],
)
def test_a_message_that_the_format_cannot_hold_is_refused(messages: Any, param: str) -> None:
    with pytest.raises(RefusedError) as refused:
        check_messages({"messages": messages})
    assert (refused.value.error.status, refused.value.error.param) == (400, param)
