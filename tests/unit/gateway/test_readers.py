"""What a client gets of a server's stream: its bytes, the name it asked for, and never a success that was none."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from gateway.formats.chat import ChatAnswer
from gateway.formats.collect import ChatCollector, TextCollector
from gateway.lanes.anthropic import AnthropicReader
from gateway.lanes.readers import ChunkReader, OpenAIChunks, PassThrough
from gateway.lanes.sse import EventCutter, iterate_json
from gateway.outcomes import BROKEN_ANSWER, CONTEXT_LENGTH_EXCEEDED, SERVER_ERROR, TargetError
from hypothesis import given
from hypothesis import strategies as st

DONE = b"data: [DONE]\n\n"


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps({"model": "theirs", "choices": choices, **more}).encode() + b"\n\n"


ROLE = chunk({"role": "assistant", "content": None})
PONG = chunk({"content": "pong"})
STOP = chunk({}, "stop")
USAGE = chunk(usage={"prompt_tokens": 3, "completion_tokens": 2})
ANSWER = ROLE + PONG + STOP + USAGE + DONE


def read_events(data: bytes) -> list[Any]:
    return [value for _, value, _ in iterate_json(data)]


def pass_through(data: bytes, wants_usage: bool = False, asked: str = "mine") -> tuple[PassThrough, bytes]:
    reader = PassThrough(asked, wants_usage)
    return reader, reader.feed(data)


def test_a_stream_passes_with_the_name_that_was_asked_for() -> None:
    reader, sent = pass_through(ANSWER)
    events = read_events(sent)
    assert [event["model"] for event in events if event] == ["mine"] * 3
    assert sent.endswith(DONE)
    assert reader.is_done
    assert reader.usage == {"prompt_tokens": 3, "completion_tokens": 2}


def test_the_same_name_passes_byte_for_byte() -> None:
    assert pass_through(ANSWER, wants_usage=True, asked="theirs")[1] == ANSWER


def test_a_text_that_looks_like_the_format_is_left_alone() -> None:
    tricky = chunk({"content": '"model":"x" "finish_reason":"stop" "usage":{ data: [DONE]\n\n "error":{'})
    sent = pass_through(PONG + tricky + STOP + USAGE + DONE)[1]
    assert read_events(sent)[1]["choices"] == read_events(tricky)[0]["choices"]


def test_usage_comes_only_to_who_asked() -> None:
    assert b'"usage"' not in pass_through(ANSWER)[1]
    assert read_events(pass_through(ANSWER, wants_usage=True)[1])[-2]["usage"]["prompt_tokens"] == 3


def test_a_role_is_no_content_yet() -> None:
    reader = PassThrough("mine", wants_usage=False)
    assert reader.feed(ROLE)
    assert not reader.has_content
    reader.feed(PONG)
    assert reader.has_content


@pytest.mark.parametrize("kind", ["content", "reasoning_content", "refusal"])
def test_every_kind_of_content_counts(kind: str) -> None:
    assert pass_through(chunk({kind: "x"}))[0].has_content
    assert pass_through(chunk({"tool_calls": [{"index": 0}]}))[0].has_content


@pytest.mark.parametrize("stream", [DONE, ROLE + DONE, PONG + DONE, ROLE + STOP + DONE])
def test_an_end_without_an_answer_is_a_failure(stream: bytes) -> None:
    with pytest.raises(TargetError) as caught:
        pass_through(stream)
    assert caught.value.outcome is BROKEN_ANSWER


def test_an_answer_of_no_token_is_one_where_the_server_counted_it() -> None:
    assert pass_through(ROLE + STOP + USAGE + DONE)[0].is_done


def test_without_the_terminal_event_nothing_is_done() -> None:
    assert not pass_through(ROLE + PONG + STOP)[0].is_done


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        ({"message": "CUDA error"}, SERVER_ERROR),
        ("a text", SERVER_ERROR),
        ({"type": "exceed_context_size_error", "n_prompt_tokens": 9, "n_ctx": 8}, CONTEXT_LENGTH_EXCEEDED),
    ],
)
def test_an_error_within_a_stream_is_found_before_and_after_content(error: object, outcome: object) -> None:
    event = b"data: " + json.dumps({"error": error}).encode() + b"\n\n"
    for before in (b"", ROLE + PONG):
        with pytest.raises(TargetError) as caught:
            pass_through(before + event)
        assert caught.value.outcome is outcome


@pytest.mark.parametrize("garbage", [b"data: {\n\n", b"data: null\n\n", b"data: [1]\n\n", b"data: <html>\n\n"])
def test_what_is_no_event_of_the_format_is_an_error(garbage: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        pass_through(garbage)


def collect(data: bytes) -> dict[str, Any]:
    answer = ChatAnswer("mine", wants_usage=False, one_call=False)
    reader = ChunkReader(OpenAIChunks(), answer, ChatCollector("mine"))
    assert reader.feed(data) == b""
    value: dict[str, Any] = json.loads(reader.finish())
    return value


def test_a_whole_answer_is_what_the_stream_said() -> None:
    whole = collect(ANSWER)
    assert whole["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "pong"}, "finish_reason": "stop"}
    ]
    assert (whole["model"], whole["object"], whole["usage"]["completion_tokens"]) == ("mine", "chat.completion", 2)


def test_tool_calls_are_put_together_from_their_parts() -> None:
    def call(index: int, **function: str) -> bytes:
        named = {"id": f"c{index}", "type": "function"} if "name" in function else {}
        return chunk({"tool_calls": [{"index": index, **named, "function": function}]})

    parts = call(0, name="f", arguments="") + call(0, arguments='{"a"') + call(1, name="g", arguments="{}")
    (choice,) = collect(ROLE + parts + call(0, arguments=":1}") + chunk({}, "tool_calls") + DONE)["choices"]
    assert choice["message"]["tool_calls"] == [
        {"id": "c0", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "c1", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]


def test_calls_that_share_an_index_are_told_apart_by_their_ids() -> None:
    calls = [{"index": 0, "id": name, "function": {"name": name, "arguments": "{}"}} for name in "ab"]
    (choice,) = collect(b"".join(chunk({"tool_calls": [call]}) for call in calls) + STOP + DONE)["choices"]
    assert [call["id"] for call in choice["message"]["tool_calls"]] == ["a", "b"]


def test_several_answers_keep_apart() -> None:
    def of(index: int, text: str, finish: str | None = None) -> bytes:
        choice = {"index": index, "delta": {"content": text}, "finish_reason": finish}
        return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"

    choices = collect(of(1, "b") + of(0, "a") + of(1, "B", "stop") + of(0, "A", "length") + DONE)["choices"]
    assert [(c["message"]["content"], c["finish_reason"]) for c in choices] == [("aA", "length"), ("bB", "stop")]


def test_a_text_completion_is_collected_with_its_probabilities() -> None:
    collector = TextCollector("mine")
    for text in "ab":
        collector.feed({"choices": [{"index": 0, "text": text, "logprobs": {"tokens": [text]}}]})
    (choice,) = collector.build()["choices"]
    assert (choice["text"], choice["logprobs"]) == ("ab", {"tokens": ["a", "b"]})


def test_one_call_is_left_where_the_client_wants_no_second() -> None:
    answer = ChatAnswer("mine", wants_usage=False, one_call=True)
    reader = ChunkReader(OpenAIChunks(), answer, None)
    calls = [chunk({"tool_calls": [{"index": index, "id": str(index)}]}) for index in (0, 1, 0, 1)]
    events = read_events(reader.feed(b"".join(calls) + chunk({}, "tool_calls") + DONE) + reader.finish())
    assert [event["choices"][0]["delta"] for event in events if event] == [
        {"tool_calls": [{"index": 0, "id": "0"}]},
        {"tool_calls": [{"index": 0, "id": "0"}]},
        {},
    ]


def anthropic_stream() -> bytes:
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"model": "theirs", "content": [], "usage": {"input_tokens": 5}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "po"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ng"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "t", "input": {}}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"a":'}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "1}"}},
        {"type": "content_block_stop", "index": 1},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    ]
    return b"".join(f"event: {item['type']}\ndata: {json.dumps(item)}\n\n".encode() for item in events)


def test_anthropics_own_stream_passes_and_is_collected() -> None:
    streamed = AnthropicReader("mine", is_streamed=True)
    sent = streamed.feed(anthropic_stream())
    assert sent.replace(b'"model":"mine"', b'"model": "theirs"').count(b"event: ") == 11
    assert b"theirs" not in sent
    whole = AnthropicReader("mine", is_streamed=False)
    assert whole.feed(anthropic_stream()) == b""
    message = json.loads(whole.finish())
    assert message["content"] == [
        {"type": "text", "text": "pong"},
        {"type": "tool_use", "id": "t", "input": {"a": 1}},
    ]
    assert (message["stop_reason"], message["usage"]) == ("tool_use", {"input_tokens": 5, "output_tokens": 7})
    assert whole.usage == {
        "prompt_tokens": 5,
        "completion_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def test_anthropics_prompt_is_known_before_its_answer() -> None:
    reader = AnthropicReader("mine", is_streamed=True)
    counts = {"input_tokens": 5, "cache_read_input_tokens": 3, "output_tokens": 1}
    start = {"type": "message_start", "message": {"id": "m", "model": "theirs", "content": [], "usage": counts}}
    reader.feed(b"event: message_start\ndata: %s\n\n" % json.dumps(start).encode())
    assert reader.usage is not None
    assert reader.usage["prompt_tokens"] == 8
    assert reader.usage["prompt_tokens_details"] == {"cached_tokens": 3}


def test_the_cached_tokens_of_llama_cpp_are_found_in_its_timings() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 1}
    event = {"choices": [], "usage": usage, "timings": {"cache_n": 7, "prompt_n": 2}}
    reader, _ = pass_through(chunk({"content": "a"}) + b"data: %s\n\n" % json.dumps(event).encode())
    assert reader.usage == {**usage, "prompt_tokens_details": {"cached_tokens": 7}}


def test_events_of_the_answer_are_counted_where_no_server_counts_tokens() -> None:
    reader, _ = pass_through(chunk({"role": "assistant"}) + chunk({"content": "a"}))
    reader.feed(chunk({"content": "b"}) + chunk({"content": "c"}))
    collected = ChunkReader(OpenAIChunks(), ChatAnswer("mine", False, False), ChatCollector("mine"))
    for word in "abc":
        collected.feed(chunk({"content": word}))
    assert 3 <= reader.pieces <= 4
    assert collected.pieces == 3


@given(st.lists(st.integers(0, 400), max_size=20), st.booleans())
def test_cuts_at_any_place_lose_nothing(places: list[int], is_dos: bool) -> None:
    stream = ANSWER.replace(b"\n", b"\r\n") if is_dos else ANSWER
    cutter, reader, sent = EventCutter(), PassThrough("theirs", wants_usage=True), b""
    marks = sorted({0, len(stream), *(place % len(stream) for place in places)})
    for start, end in pairwise(marks):
        if block := cutter.feed(stream[start:end]):
            sent += reader.feed(block)
    assert read_events(sent) == read_events(ANSWER)
    assert reader.is_done


def test_an_empty_block_of_anthropics_is_no_content_yet() -> None:
    def write(kind: str, **fields: Any) -> bytes:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()

    opening = write("message_start", message={"content": [], "model": "theirs"})
    text = AnthropicReader("mine", is_streamed=True)
    text.feed(opening + write("content_block_start", index=0, content_block={"type": "text", "text": ""}))
    assert not text.has_content
    text.feed(write("content_block_delta", index=0, delta={"type": "text_delta", "text": "pong"}))
    assert text.has_content
    tool = AnthropicReader("mine", is_streamed=True)
    tool.feed(opening + write("content_block_start", index=0, content_block={"type": "tool_use", "name": "f"}))
    assert tool.has_content


@given(st.lists(st.sampled_from([b"data: a\n\n", b"data: b\r\n\r\n", b": c\n\n"]), min_size=1), st.integers(1, 9))
def test_events_are_whole_however_they_are_cut(events: list[bytes], size: int) -> None:
    cutter, stream = EventCutter(), b"".join(events)
    blocks = [cutter.feed(stream[start : start + size]) for start in range(0, len(stream), size)]
    assert b"".join(blocks) == stream
    assert not cutter.has_rest
    assert all(block.endswith((b"\n\n", b"\r\n\r\n")) for block in blocks if block)


def test_an_event_that_never_ends_is_given_up() -> None:
    cutter = EventCutter(limit_bytes=100)
    assert cutter.feed(b"data: a\n\ndata: " + b"x" * 90) == b"data: a\n\n"
    with pytest.raises(ValueError, match="too long"):
        cutter.feed(b"x" * 10)
