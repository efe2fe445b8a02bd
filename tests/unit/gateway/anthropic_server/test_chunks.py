"""Anthropic's events as chat chunks: what clients of any other format read of a model of Anthropic's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from gateway.formats.anthropic import AnthropicChunks
from gateway.formats.collect import ChatCollector
from gateway.outcomes import BROKEN_ANSWER, RATE_LIMITED, SERVER_ERROR, TargetError
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

START: dict[str, Any] = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [],
        "usage": {
            "input_tokens": 10,
            "cache_read_input_tokens": 5,
            "cache_creation_input_tokens": 2,
            "output_tokens": 1,
        },
    },
}
STOP = {"type": "message_stop"}
PING = {"type": "ping"}


def block(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": {"type": kind, **fields}}


def tool(index: int, name: str) -> dict[str, Any]:
    return block(index, "tool_use", id=f"toolu_{index}", name=name, input={})


def delta(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def text(index: int, words: str) -> dict[str, Any]:
    return delta(index, "text_delta", text=words)


def json_piece(index: int, piece: str) -> dict[str, Any]:
    return delta(index, "input_json_delta", partial_json=piece)


def close(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def reason(name: str | None, **usage: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": name, "stop_sequence": None}, "usage": usage}


def read(events: Iterable[dict[str, Any]], **arguments: Any) -> tuple[AnthropicChunks, dict[str, Any]]:
    """The reader after these events, and the completion that its chunks make; each must be one of OpenAI's."""
    chunks, collector = AnthropicChunks(**arguments), ChatCollector("claude")
    for event in events:
        for chunk in chunks.read_event(event["type"], event):
            ChatCompletionChunk.model_validate(chunk, strict=True)
            collector.feed(chunk)
    return chunks, collector.build()


def test_thoughts_text_and_calls_arrive_as_chat_completions_has_them() -> None:
    chunks, answer = read(
        [
            *(START, PING, block(0, "thinking", thinking="", signature=""), delta(0, "thinking_delta", thinking="Hm")),
            *(delta(0, "signature_delta", signature="s"), close(0)),
            *(block(1, "text", text=""), text(1, "Go"), text(1, "od"), close(1)),
            *(tool(2, "read"), json_piece(2, ""), json_piece(2, '{"a"'), json_piece(2, ":1}"), close(2)),
            *(tool(3, "look_up"), close(3), reason("tool_use", output_tokens=20), STOP),
        ],
        names={"look_up": "look/up"},
    )
    choice = answer["choices"][0]
    assert (choice["message"]["reasoning_content"], choice["message"]["content"]) == ("Hm", "Good")
    assert choice["message"]["tool_calls"] == [
        {"id": "toolu_2", "type": "function", "function": {"name": "read", "arguments": '{"a":1}'}},
        {"id": "toolu_3", "type": "function", "function": {"name": "look/up", "arguments": "{}"}},
    ]
    assert choice["finish_reason"] == "tool_calls"
    assert chunks.is_done
    # the prompt is what was read anew, from the cache and into it
    assert (
        answer["usage"]
        == chunks.usage
        == {
            "prompt_tokens": 17,
            "completion_tokens": 20,
            "total_tokens": 37,
            "prompt_tokens_details": {"cached_tokens": 5},
        }
    )


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("a_new_one", "stop"),
    ],
)
def test_why_it_stopped(stop_reason: str, finish_reason: str) -> None:
    _, answer = read([START, block(0, "text", text="So"), close(0), reason(stop_reason), STOP])
    assert answer["choices"][0]["finish_reason"] == finish_reason
    assert answer["choices"][0]["message"]["content"] == "So"


def test_the_tool_that_stands_for_a_response_format_is_the_answers_text() -> None:
    events = [START, tool(0, "json_tool_call"), json_piece(0, '{"a":1}'), close(0), reason("tool_use"), STOP]
    _, answer = read(events, json_tool="json_tool_call")
    assert answer["choices"][0] == {
        "index": 0,
        "message": {"role": "assistant", "content": '{"a":1}'},
        "finish_reason": "stop",
    }


def test_a_tool_that_runs_at_the_provider_is_no_call() -> None:
    events = [START, block(0, "server_tool_use", id="s", name="web_search"), json_piece(0, "{}"), close(0)]
    _, answer = read([*events, reason("end_turn"), STOP])
    assert "tool_calls" not in answer["choices"][0]["message"]


def test_it_is_done_at_its_terminal_event_only() -> None:
    events = [START, block(0, "text", text="So"), close(0), reason("end_turn", output_tokens=1)]
    chunks, _ = read(events)
    assert not chunks.is_done
    assert chunks.read_event("message_stop", STOP)
    assert chunks.is_done


def test_content_begins_with_the_first_word() -> None:
    chunks, _ = read([START, PING, block(0, "text", text="")])
    assert not chunks.has_content
    chunks.read_event("", text(0, "So"))
    assert chunks.has_content


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, SERVER_ERROR),
        ({"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}}, RATE_LIMITED),
        ({"type": "error"}, SERVER_ERROR),
        (STOP, BROKEN_ANSWER),
        (delta(0, "text_delta", text=None), BROKEN_ANSWER),
    ],
)
def test_an_error_or_an_end_without_a_reason_is_a_failure(event: dict[str, Any], outcome: Any) -> None:
    with pytest.raises(TargetError) as failed:
        read([START, text(0, "So"), event])
    assert failed.value.outcome is outcome
    assert "Overloaded" not in failed.value.text


@given(st.lists(st.text(max_size=4), max_size=6), st.lists(st.text(max_size=4), max_size=6))
def test_no_character_is_lost(words: list[str], pieces: list[str]) -> None:
    texts = [text(0, word) for word in words]
    arguments = [json_piece(1, piece) for piece in pieces]
    events = [START, block(0, "text", text=""), *texts, close(0), tool(1, "read"), *arguments, close(1)]
    _, answer = read([*events, reason("tool_use"), STOP])
    message = answer["choices"][0]["message"]
    assert (message["content"] or "") == "".join(words)
    assert message["tool_calls"][0]["function"]["arguments"] == ("".join(pieces) or "{}")
