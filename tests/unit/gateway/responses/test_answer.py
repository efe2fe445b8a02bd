"""What clients of the Responses format are told: events in OpenAI's order and form, and whole responses."""

from __future__ import annotations

from typing import Any

import pytest
from gateway.errors import ApiError
from gateway.formats.responses import ResponsesAnswer, translate
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response

from tests.unit.gateway.responses.streams import ROLE, USAGE, call, delta, end, name_types, read_events, run

TOOLS: list[dict[str, Any]] = [
    {"type": "function", "name": "read", "parameters": {"type": "object"}, "strict": True},
    {"type": "custom", "name": "patch"},
    {"type": "namespace", "name": "agents", "description": "", "tools": [{"type": "function", "name": "close"}]},
]
BEGUN = ["created", "in_progress"]
TEXT_OPENED = ["output_item.added", "content_part.added"]
TEXT_CLOSED = ["output_text.done", "content_part.done", "output_item.done"]


def answer_for(**fields: Any) -> ResponsesAnswer:
    return translate({"model": "local-chat", "input": "Hello"} | fields)[1]


def test_a_text_is_told_in_openais_order() -> None:
    events = run(answer_for(), [ROLE, delta(content="Good "), delta(content="day"), end("stop"), USAGE])
    deltas = ["output_text.delta", "output_text.delta"]
    assert name_types(events) == [*BEGUN, *TEXT_OPENED, *deltas, *TEXT_CLOSED, "completed"]
    response = events[-1]["response"]
    assert response["status"] == "completed"
    assert response["model"] == "local-chat"
    assert response["output"][0]["content"][0]["text"] == "Good day"
    assert response["usage"] == {
        "input_tokens": 11,
        "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 15,
    }


def test_every_event_of_an_item_has_the_items_id_and_place() -> None:
    chunks = [ROLE, delta(reasoning_content="Hm"), delta(content="So"), call(0, "{}", "read", "c1"), end("tool_calls")]
    events = run(answer_for(tools=TOOLS), chunks)
    done = {event["output_index"]: event["item"] for event in events if event["type"] == "response.output_item.done"}
    assert [item["type"] for _, item in sorted(done.items())] == ["reasoning", "message", "function_call"]
    for event in events:
        if "output_index" in event:
            item = done[event["output_index"]]
            assert item["id"] == (event["item"]["id"] if "item" in event else event["item_id"])
    assert events[-1]["response"]["output"] == [item for _, item in sorted(done.items())]


def test_thoughts_are_a_reasoning_item_before_the_message() -> None:
    events = run(answer_for(), [ROLE, delta(reasoning_content="Hm"), delta(content="So"), end("stop"), USAGE])
    assert name_types(events)[2:7] == [*TEXT_OPENED, "reasoning_text.delta", "reasoning_text.done", "content_part.done"]
    assert events[-1]["response"]["output"][0]["content"] == [{"type": "reasoning_text", "text": "Hm"}]


def test_thoughts_are_the_summary_for_a_client_that_asks_for_one() -> None:
    answer = answer_for(reasoning={"summary": "auto"})
    events = run(answer, [ROLE, delta(reasoning="Hm"), delta(content="So"), end("stop")])
    assert name_types(events)[2:8] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
    ]
    assert events[-1]["response"]["output"][0]["summary"] == [{"type": "summary_text", "text": "Hm"}]


def test_calls_come_with_their_arguments_piece_by_piece() -> None:
    chunks = [
        ROLE,
        call(0, "", "read", "c1"),
        call(0, '{"path":'),
        call(0, '"a"}'),
        call(1, "", "agents__close", "c2"),
        end("tool_calls"),
    ]
    events = run(answer_for(tools=TOOLS), chunks)
    assert name_types(events)[2:5] == ["output_item.added", *["function_call_arguments.delta"] * 2]
    first, second = events[-1]["response"]["output"]
    assert (first["call_id"], first["name"], first["arguments"]) == ("c1", "read", '{"path":"a"}')
    # a call without arguments is still JSON, and a namespace's function goes by its own name
    assert (second["call_id"], second["name"], second["namespace"]) == ("c2", "close", "agents")
    assert second["arguments"] == "{}"


def test_two_calls_may_be_written_at_once() -> None:
    chunks = [call(0, '{"a"', "read", "c1"), call(1, '{"b"', "read", "c2"), call(0, ":1}"), call(1, ":2}"), end("stop")]
    output = run(answer_for(tools=TOOLS), chunks)[-1]["response"]["output"]
    assert [item["arguments"] for item in output] == ['{"a":1}', '{"b":2}']


@pytest.mark.parametrize("wants_several", [True, False])
def test_calls_that_share_an_index_are_told_apart_by_their_ids(wants_several: bool) -> None:
    chunks = [call(0, '{"a"', "read", "c1"), call(0, ":1}"), call(0, '{"b":', "read", "c2"), call(0, "2}"), end("stop")]
    output = run(answer_for(tools=TOOLS, parallel_tool_calls=wants_several), chunks)[-1]["response"]["output"]
    expected = [("c1", '{"a":1}'), ("c2", '{"b":2}')]
    assert [(item["call_id"], item["arguments"]) for item in output] == expected[: 2 if wants_several else 1]


def test_one_call_is_kept_when_the_client_wants_no_parallel_ones() -> None:
    chunks = [call(0, "{}", "read", "c1"), call(1, "{}", "read", "c2"), end("tool_calls")]
    output = run(answer_for(tools=TOOLS, parallel_tool_calls=False), chunks)[-1]["response"]["output"]
    assert [item["call_id"] for item in output] == ["c1"]


@pytest.mark.parametrize(
    ("arguments", "text"), [('{"input": "*** Begin\\n"}', "*** Begin\n"), ("*** Begin", "*** Begin"), ("[1]", "[1]")]
)
def test_a_custom_tools_input_is_text(arguments: str, text: str) -> None:
    events = run(answer_for(tools=TOOLS), [call(0, arguments, "patch", "c1"), end("tool_calls")])
    assert name_types(events)[2:6] == [
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
    ]
    assert events[-1]["response"]["output"][0]["input"] == text


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_a_cut_answer_is_incomplete(finish: str, reason: str) -> None:
    events = run(answer_for(), [delta(reasoning_content="Hm"), delta(content="So"), end(finish), USAGE])
    assert events[-1]["type"] == "response.incomplete"
    assert events[-1]["response"]["incomplete_details"] == {"reason": reason}
    assert [item["status"] for item in events[-1]["response"]["output"]] == ["completed", "incomplete"]


def test_an_answer_without_a_word_is_complete() -> None:
    assert name_types(run(answer_for(), [end("stop"), USAGE])) == [*BEGUN, "completed"]


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (502, "provider_broken_answer", "server_error"),
        (429, "rate_limited", "rate_limit_exceeded"),
        (400, "context_length_exceeded", "context_length_exceeded"),
    ],
)
@pytest.mark.parametrize("chunks", [[], [ROLE, delta(content="So"), call(0, "{", "read", "c1")]])
def test_a_failure_is_a_failed_response(status: int, code: str, told: str, chunks: list[dict[str, Any]]) -> None:
    answer = answer_for(tools=TOOLS)
    written = b"".join(map(answer.feed, chunks))
    last = answer.fail(ApiError(status, code, "The answer ended early."))
    # the types of the SDK do not know Codex's word for an overflow
    if told != "context_length_exceeded":
        assert read_events(written + last)[-1]["type"] == "response.failed"
    assert b'"error":{"code":"%s","message":"The answer ended early."}' % told.encode() in last


def test_a_whole_answer_is_what_the_stream_ends_with() -> None:
    chunks = [ROLE, delta(reasoning_content="Hm"), delta(content="So"), call(0, "{}", "read", "c1"), end("tool_calls")]
    streamed = run(answer_for(tools=TOOLS, temperature=0.5), [*chunks, USAGE])[-1]["response"]
    message = {
        "role": "assistant",
        "content": "So",
        "reasoning_content": "Hm",
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "read", "arguments": "{}"}}],
    }
    completion = {
        "created": ROLE["created"],
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
    }
    whole = answer_for(tools=TOOLS, temperature=0.5).whole(completion | {"usage": USAGE["usage"]})
    Response.model_validate(whole, strict=True)
    for response in (streamed, whole):
        for item in response["output"]:
            del item["id"]
    assert {name: value for name, value in whole.items() if name not in ("id", "completed_at")} == {
        name: value for name, value in streamed.items() if name not in ("id", "completed_at")
    }


def test_the_response_repeats_the_request() -> None:
    fields: dict[str, Any] = {
        "instructions": "Be brief.",
        "max_output_tokens": 5,
        "metadata": {"team": "a"},
        "reasoning": {"effort": "low"},
        "temperature": 0,
        "text": {"format": {"type": "json_object"}},
        "tool_choice": {"type": "function", "name": "read"},
        "tools": TOOLS,
        "top_p": 0.5,
        "store": True,
    }
    response = run(answer_for(**fields), [end("stop")])[-1]["response"]
    assert {name: response[name] for name in fields} == fields | {
        "reasoning": {"effort": "low", "summary": None},
        "store": False,  # nothing is, whatever was asked
    }


def test_token_probabilities_are_told_where_they_were_asked_for() -> None:
    token = {"token": "So", "logprob": -0.5, "bytes": [83, 111], "top_logprobs": []}
    chunk = delta(content="So")
    chunk["choices"][0]["logprobs"] = {"content": [token]}
    events = run(answer_for(include=["message.output_text.logprobs"]), [chunk, end("stop")])
    assert events[4]["logprobs"] == [token]
    assert events[-1]["response"]["output"][0]["content"][0]["logprobs"] == [token]


PIECES = st.one_of(
    st.builds(lambda text: delta(content=text), st.text(max_size=3)),
    st.builds(lambda text: delta(reasoning_content=text), st.text(max_size=3)),
    st.builds(lambda index, text: call(index, text, "read"), st.integers(0, 2), st.text(max_size=3)),
    st.builds(end, st.sampled_from(["stop", "length", "tool_calls"])),
    st.just(USAGE),
    st.just({"choices": [], "prompt_progress": {"total": 9, "cache": 0, "processed": 3, "time_ms": 1}}),
)


@given(st.lists(PIECES, max_size=12), st.booleans())
def test_any_stream_is_well_formed_and_loses_no_text(chunks: list[dict[str, Any]], wants_summary: bool) -> None:
    fields = {"reasoning": {"summary": "auto"}} if wants_summary else {}
    events = run(answer_for(tools=TOOLS, **fields), chunks)
    opened = [event["output_index"] for event in events if event["type"] == "response.output_item.added"]
    closed = [event["output_index"] for event in events if event["type"] == "response.output_item.done"]
    assert sorted(closed) == opened == list(range(len(opened)))
    sent = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
    output = events[-1]["response"]["output"]
    assert sent == "".join(item["content"][0]["text"] for item in output if item["type"] == "message")
