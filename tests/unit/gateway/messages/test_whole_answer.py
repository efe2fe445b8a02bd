"""Whole answers in Anthropic's format."""

from __future__ import annotations

from typing import Any

import pytest

from tests.anthropic_events import Json
from tests.unit.gateway.messages.answers import answer


def test_a_whole_answer() -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "one", "arguments": '{"a":1}'}}]
    message = {"role": "assistant", "content": "Hi.", "reasoning_content": "Hm.", "tool_calls": calls}
    usage = {"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 6}}
    whole = answer().whole({"choices": [{"message": message, "finish_reason": "tool_calls"}], "usage": usage})
    assert whole.pop("id").startswith("msg_")
    assert whole == {
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": ""},
            {"type": "text", "text": "Hi."},
            {"type": "tool_use", "id": "c1", "name": "one", "input": {"a": 1}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 4,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 6,
            "output_tokens": 4,
        },
    }


@pytest.mark.parametrize(
    ("arguments", "given_input"),
    [
        ('{"a":1}', {"a": 1}),
        ({"a": 1}, {"a": 1}),
        ("", {}),
        (" ", {}),
        (None, {}),
        ("null", {}),
        ('{"a":', {"INVALID_JSON": '{"a":'}),
        ("[1]", {"INVALID_JSON": "[1]"}),
        ("5", {"INVALID_JSON": "5"}),
    ],
)
def test_input_of_a_call_is_always_an_object(arguments: Any, given_input: Json) -> None:
    message = {"tool_calls": [{"function": {"name": "one", "arguments": arguments}}]}
    whole = answer().whole({"choices": [{"message": message, "finish_reason": "tool_calls"}]})
    assert whole["content"][0]["input"] == given_input
