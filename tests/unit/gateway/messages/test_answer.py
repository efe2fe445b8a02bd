"""Streamed answers in Anthropic's format: each rule."""

from __future__ import annotations

import re

import pytest
from gateway.errors import ApiError

from tests.anthropic_events import Json, call_delta, delta, read_blocks, read_events, stream, usage_chunk
from tests.unit.gateway.messages.answers import answer, last_delta, progress, run


def test_an_answer_of_text_is_these_events_to_the_byte() -> None:
    data = stream(
        answer(),
        [
            progress(22, 4, 4),
            progress(22, 4, 22),
            delta(role="assistant", content=None),
            delta(content="Hel"),
            delta(content='lo "\n'),
            delta("stop"),
            usage_chunk(22, 3, 4),
        ],
    )
    name = re.search(rb"msg_[0-9a-f]{32}", data)
    assert name
    assert data.replace(name[0], b"ID").decode() == (
        'event: message_start\ndata: {"type":"message_start","message":{"id":"ID","type":"message",'
        '"role":"assistant","model":"claude-x","content":[],"stop_reason":null,"stop_sequence":null,'
        '"usage":{"input_tokens":18,"cache_creation_input_tokens":0,"cache_read_input_tokens":4,"output_tokens":0}}}'
        "\n\n"
        'event: ping\ndata: {"type":"ping"}\n\n'
        'event: ping\ndata: {"type":"ping"}\n\n'
        'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
        '"content_block":{"type":"text","text":""}}\n\n'
        'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        '"delta":{"type":"text_delta","text":"Hel"}}\n\n'
        'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        '"delta":{"type":"text_delta","text":"lo \\"\\n"}}\n\n'
        'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
        'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},'
        '"usage":{"input_tokens":18,"cache_creation_input_tokens":0,"cache_read_input_tokens":4,"output_tokens":3}}'
        "\n\n"
        'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    )


def test_a_message_begins_once_and_without_progress_its_first_event_knows_no_tokens() -> None:
    events = run(delta(role="assistant"), delta(content="a"), delta("stop"), usage_chunk(9, 1))
    assert [event["type"] for event in events].count("message_start") == 1
    assert events[0]["message"]["usage"]["input_tokens"] == 0
    assert events[-2]["usage"]["input_tokens"] == 9


def test_a_call_of_a_tool_has_no_empty_text_before_it() -> None:
    events = run(
        delta(role="assistant", content=None),
        delta(content=""),
        call_delta(0, id="call_1", name="weather"),
        call_delta(0, '{"ci'),
        call_delta(0, 'ty":"Seoul"}'),
        delta("tool_calls"),
        usage_chunk(5, 9),
    )
    start, *deltas, stop = events[1:-2]
    assert start == {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "tool_use", "id": "call_1", "name": "weather", "input": {}},
    }
    pieces = [{"type": "input_json_delta", "partial_json": text} for text in ('{"ci', 'ty":"Seoul"}')]
    assert [event["delta"] for event in deltas] == pieces
    assert stop == {"type": "content_block_stop", "index": 0}
    assert events[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}


def test_thinking_text_and_calls_are_blocks_one_after_the_other() -> None:
    blocks = read_blocks(
        run(
            delta(reasoning_content="Hm"),
            delta(reasoning_content="m."),
            delta(content="I see."),
            call_delta(0, '{"a":1}', id="c1", name="one"),
            call_delta(1, id="c2", name="two"),
            call_delta(1, "{}"),
            delta("tool_calls"),
        )
    )
    assert blocks == [
        {"type": "thinking", "thinking": "Hmm.", "signature": "", "json": ""},
        {"type": "text", "text": "I see.", "json": ""},
        {"type": "tool_use", "id": "c1", "name": "one", "input": {}, "json": '{"a":1}'},
        {"type": "tool_use", "id": "c2", "name": "two", "input": {}, "json": "{}"},
    ]


def test_a_thinking_block_ends_with_its_signature() -> None:
    events = run(delta(reasoning_content="x"), delta(content="y"), delta("stop"))
    kinds = [event["delta"]["type"] for event in events if event["type"] == "content_block_delta"]
    assert kinds == ["thinking_delta", "signature_delta", "text_delta"]


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_what_becomes_of_thoughts(name: str) -> None:
    chunks = delta(**{name: "secret"}), delta(**{name: " plan"}), delta(content="y"), delta("stop")
    whole: Json = {"choices": [{"message": {name: "secret plan", "content": "y"}, "finish_reason": "stop"}]}
    for thinking, thoughts in (
        (None, ["secret plan"]),
        ({"type": "adaptive"}, ["secret plan"]),
        ({"type": "adaptive", "display": "omitted"}, [""]),
        ({"type": "disabled"}, []),
    ):
        fields = {"thinking": thinking} if thinking else {}
        assert [block["thinking"] for block in read_blocks(run(*chunks, **fields)) if "thinking" in block] == thoughts
        content = answer(**fields).whole(whole)["content"]
        assert [block["thinking"] for block in content if "thinking" in block] == thoughts
        assert content[-1] == {"type": "text", "text": "y"}


def test_calls_whose_pieces_are_mixed_are_told_one_after_the_other() -> None:
    blocks = read_blocks(
        run(
            call_delta(0, '{"a"', id="c1", name="one"),
            call_delta(1, '{"b"', id="c2", name="two"),
            delta(content="text"),
            call_delta(0, ":1}"),
            call_delta(1, ":2}"),
            delta("tool_calls"),
        )
    )
    assert [(block.get("name"), block["json"], block.get("text")) for block in blocks] == [
        ("one", '{"a":1}', None),
        ("two", '{"b":2}', None),
        (None, "", "text"),
    ]


def test_calls_of_servers_that_give_them_all_the_same_index_or_no_id_or_an_object() -> None:
    same = read_blocks(run(call_delta(0, "{}", id="c1", name="one"), call_delta(0, "{}", id="c2", name="two")))
    assert [block["id"] for block in same] == ["c1", "c2"]
    bare = delta(tool_calls=[{"function": {"name": "one", "arguments": {"a": 1}}}])
    (block,) = read_blocks(run(bare, delta("stop")))
    assert block["json"] == '{"a":1}'
    assert block["id"].startswith("toolu_")


def test_only_the_first_call_is_told_when_the_client_forbids_several() -> None:
    fields: Json = {
        "tools": [{"name": "one", "input_schema": {}}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    }
    chunks = [
        call_delta(0, "{}", id="c1", name="one"),
        call_delta(0, "[", id="c2", name="one"),
        call_delta(0, "]"),
        call_delta(1, "{}", id="c3", name="one"),
        delta("tool_calls"),
    ]
    (block,) = read_blocks(run(*chunks, **fields))
    assert (block["id"], block["json"]) == ("c1", "{}")
    calls = [{"id": name, "function": {"name": "one", "arguments": "{}"}} for name in ("c1", "c2")]
    whole = answer(**fields).whole({"choices": [{"message": {"tool_calls": calls}, "finish_reason": "tool_calls"}]})
    assert [block["id"] for block in whole["content"]] == ["c1"]


def test_texts_of_servers_that_send_them_in_parts() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert [block["text"] for block in read_blocks(run(delta(content=parts), delta("stop")))] == ["ab"]
    whole = answer().whole({"choices": [{"message": {"content": parts}, "finish_reason": "stop"}]})
    assert whole["content"] == [{"type": "text", "text": "ab"}]


def test_a_call_waits_for_its_name() -> None:
    (block,) = read_blocks(run(call_delta(0, '{"a"', id="c"), call_delta(0, ":1}", name="one"), delta("tool_calls")))
    assert (block["name"], block["json"]) == ("one", '{"a":1}')
    assert read_blocks(run(call_delta(0, "{}", id="c"), delta("tool_calls"))) == []


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("tool_calls", "end_turn"),
        ("content_filter", "refusal"),
        ("new", "end_turn"),
    ],
)
def test_stop_reasons_of_answers_without_calls(finish: str, reason: str) -> None:
    assert last_delta(delta(content="x"), delta(finish))["delta"]["stop_reason"] == reason
    whole = answer().whole({"choices": [{"message": {"content": "x"}, "finish_reason": finish}]})
    assert whole["stop_reason"] == reason


@pytest.mark.parametrize(
    ("finish", "reason"), [("stop", "tool_use"), ("tool_calls", "tool_use"), ("length", "max_tokens")]
)
def test_stop_reasons_of_answers_with_a_call(finish: str, reason: str) -> None:
    assert last_delta(call_delta(0, "{}", name="x"), delta(finish))["delta"]["stop_reason"] == reason


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"__verbose": {"stopping_word": "END"}}, ("stop_sequence", "END")),
        ({"__verbose": {"stopping_word": ""}}, ("end_turn", None)),
        ({"__verbose": {"stopping_word": "<|end|>"}}, ("end_turn", None)),
        ({"stop_reason": "END"}, ("stop_sequence", "END")),
        ({"stop_reason": 128009}, ("end_turn", None)),
        ({}, ("end_turn", None)),
    ],
)
def test_stop_sequences_are_told_where_the_server_tells_them(told: Json, expected: tuple[str, str | None]) -> None:
    end = delta("stop")
    if "stop_reason" in told:
        end["choices"][0] |= told
    else:
        end |= told
    found = last_delta(delta(content="x"), end, stop_sequences=["END"])["delta"]
    assert (found["stop_reason"], found["stop_sequence"]) == expected
    completion = {**end, "choices": [{**end["choices"][0], "message": {"content": "x"}}]}
    whole = answer(stop_sequences=["END"]).whole(completion)
    assert (whole["stop_reason"], whole["stop_sequence"]) == expected


def test_usage_that_the_server_did_not_tell_is_marked_as_an_estimate() -> None:
    told = last_delta(delta(content="a"), delta(content="b"), delta("stop"))["usage"]
    assert told == {"output_tokens": 2, "estimated": True}


def test_thinking_tokens_are_told() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 7}}
    told = last_delta(delta(content="a"), delta("stop"), {"choices": [], "usage": usage})["usage"]
    assert told["output_tokens_details"] == {"thinking_tokens": 7}


def test_an_error_is_anthropics_event() -> None:
    data = answer().fail(ApiError(503, "upstream_unreachable", "The server is away."))
    (event,) = read_events(data)
    assert event == {"type": "error", "error": {"type": "overloaded_error", "message": "The server is away."}}


def test_an_empty_answer_is_a_message_without_content() -> None:
    assert [event["type"] for event in run()] == ["message_start", "message_delta", "message_stop"]
    whole = answer().whole({"choices": [{"message": {"role": "assistant", "content": None}, "finish_reason": "stop"}]})
    assert whole["content"] == []
