"""What the anthropic client for Python reads out of our streams, answers and errors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import orjson
import pytest
from gateway.errors import ApiError
from gateway.formats.messages import translate

from tests.anthropic_events import Json, call_delta, delta, stream, usage_chunk

# Chunks of llama.cpp's server (xllamacpp 2026.10) for requests that this conversion made, as they arrived.
RECORDED = Path(__file__).parent / "recorded"

TOOLS: Json = {"tools": [{"name": "weather", "input_schema": {"type": "object"}}]}
QUESTION: Json = {"model": "m", "max_tokens": 64, "messages": [{"role": "user", "content": "hi"}]}


def connect(chunks: Sequence[Json], error: ApiError | None = None) -> anthropic.Anthropic:
    """A client whose requests are converted and answered with these chunks, and then with the error."""

    def handle(request: httpx2.Request) -> httpx2.Response:
        body = orjson.loads(request.content)
        answer = translate(body)[1]
        if not body.get("stream"):
            return httpx2.Response(200, json=answer.whole(chunks[0]))
        data = b"".join(map(answer.feed, chunks)) + answer.fail(error) if error else stream(answer, chunks)
        return httpx2.Response(200, content=data, headers={"content-type": "text/event-stream"})

    transport = httpx2.MockTransport(handle)
    return anthropic.Anthropic(
        api_key="k", base_url="http://gateway.test", max_retries=0, http_client=httpx2.Client(transport=transport)
    )


def collect(chunks: Sequence[Json], **fields: Any) -> tuple[Json, list[str]]:
    """The client's final message and the types of the events that it made of the stream."""
    with connect(chunks).messages.stream(**QUESTION, **fields) as events:
        types: list[str] = [event.type for event in events]
        return events.get_final_message().to_dict(), types


def test_a_stream_of_thinking_text_and_calls_is_one_message() -> None:
    message, types = collect(
        [
            {**delta(role="assistant", content=None), "prompt_progress": {"total": 30, "cache": 12, "processed": 30}},
            delta(reasoning_content="Let me"),
            delta(reasoning_content=" think."),
            delta(content="Of "),
            delta(content="course."),
            call_delta(0, id="call_1", name="weather"),
            call_delta(0, '{"city": "Seo'),
            call_delta(0, 'ul"}'),
            call_delta(1, "{}", id="call_2", name="weather"),
            delta("tool_calls"),
            usage_chunk(30, 17, 12),
        ],
        **TOOLS,
    )
    assert message["content"] == [
        {"type": "thinking", "thinking": "Let me think.", "signature": ""},
        {"type": "text", "text": "Of course."},
        {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Seoul"}},
        {"type": "tool_use", "id": "call_2", "name": "weather", "input": {}},
    ]
    assert (message["stop_reason"], message["stop_sequence"]) == ("tool_use", None)
    usage = {name: message["usage"][name] for name in ("input_tokens", "cache_read_input_tokens", "output_tokens")}
    assert usage == {"input_tokens": 18, "cache_read_input_tokens": 12, "output_tokens": 17}
    assert types.count("content_block_stop") == 4
    assert types[0] == "message_start"
    assert types[-1] == "message_stop"


def load_recorded(name: str) -> list[Json]:
    """The chunks of one recorded answer."""
    return [orjson.loads(line) for line in (RECORDED / f"llama_cpp_{name}.jsonl").read_bytes().splitlines()]


def test_a_recorded_call_of_a_tool() -> None:
    message, types = collect(load_recorded("call"), **TOOLS)
    (block,) = message["content"]
    assert (block["type"], block["name"], block["input"]) == ("tool_use", "weather", {"city": "Seoul", "days": 1})
    assert message["stop_reason"] == "tool_use"
    assert (message["usage"]["input_tokens"], message["usage"]["cache_read_input_tokens"]) == (138, 45)
    assert types.count("input_json") > 10


@pytest.mark.parametrize("is_disabled", [False, True])
def test_recorded_thoughts(is_disabled: bool) -> None:
    fields: Json = {"thinking": {"type": "disabled"}} if is_disabled else {}
    message, _ = collect(load_recorded("thinking"), **fields)
    *thoughts, text = message["content"]
    assert text["text"].strip().startswith("int main(void) {")
    assert [block["thinking"] for block in thoughts] == ([] if is_disabled else ["#include "])


def test_a_recorded_stop_sequence() -> None:
    message, _ = collect(load_recorded("stop_sequence"), stop_sequences=["5", "9"])
    assert message["content"][0]["text"] == "1 2 3 4 "
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "5")


def test_a_stop_sequence_is_told() -> None:
    end = {**delta("stop"), "__verbose": {"stopping_word": "END"}}
    message, _ = collect([delta(content="a"), end, usage_chunk(3, 2)], stop_sequences=["END"])
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "END")


def test_a_whole_answer_is_a_message() -> None:
    completion = {
        "choices": [{"message": {"role": "assistant", "content": "Hi."}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2},
    }
    message = connect([completion]).messages.create(**QUESTION)
    assert message.stop_reason == "max_tokens"
    assert message.usage.input_tokens == 5
    assert [block.to_dict() for block in message.content] == [{"type": "text", "text": "Hi."}]


def test_an_error_in_the_midst_of_a_stream_is_raised() -> None:
    client = connect([delta(content="a")], ApiError(503, "upstream_error", "It broke off."))
    with pytest.raises(anthropic.APIStatusError, match=r"It broke off\."), client.messages.stream(**QUESTION) as events:
        list(events)
