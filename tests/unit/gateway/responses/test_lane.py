"""What each kind of server is sent for a request in the Responses format; and nothing that a client sends breaks it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson
import pytest
from gateway.catalog.values import Provider, Route, Target
from gateway.errors import RefusedError
from gateway.formats.anthropic.checks import check_messages, select_fields
from gateway.formats.call import Call
from gateway.formats.responses import translate
from gateway.lanes.choose import build_stream_request
from hypothesis import given, settings
from hypothesis import strategies as st

Json = dict[str, Any]

CALL: Json = {"type": "function_call", "call_id": "c1", "name": "read", "arguments": "{}"}
OUTPUT: Json = {"type": "function_call_output", "call_id": "c1", "output": ""}
THOUGHT: Json = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm"}]}
MESSAGE: Json = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go"}]}
TOOL: Json = {"type": "function", "name": "read", "description": "d", "parameters": {"type": "object"}}
NAMESPACE: Json = {"type": "namespace", "name": "n", "tools": [TOOL]}
CUSTOM: Json = {"type": "custom", "name": "patch", "format": {"syntax": "lark", "definition": "start: A"}}


def _send(kind: str) -> Json:
    items = [MESSAGE, THOUGHT, CALL, OUTPUT, MESSAGE, THOUGHT]
    body = {"model": "m", "input": items, "tools": [TOOL], "stream": True}
    target = Target("m", Provider("p", kind), "upstream-m", "chat", "http://server.test/v1")
    request = build_stream_request(Call("responses", body, "m", "id"), target, Route("m", (target,)))
    assert request.path == "/chat/completions"
    sent: Json = orjson.loads(request.body)
    return sent


@pytest.mark.parametrize("kind", ["openai", "openai-compatible", "internal"])
def test_a_strict_server_is_sent_no_thoughts(kind: str) -> None:
    messages = _send(kind)["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "user"]
    assert all("reasoning_content" not in message for message in messages)


@pytest.mark.parametrize("kind", ["engine", "vllm-engine", "vllm", "lm_studio", "ollama"])
def test_a_server_that_may_use_them_is_sent_the_thoughts(kind: str) -> None:
    messages = _send(kind)["messages"]
    assert [message.get("reasoning_content") for message in messages] == [None, "Hm", None, None, "Hm"]


# What JSON can hold, with the words of the format among its texts.
WORDS = ["message", "user", "developer", "input_text", "input_image", "function", "rs_1", "c1", "auto", "json_schema"]
TEXTS = st.sampled_from(WORDS) | st.text(st.characters(codec="utf-8"), max_size=3)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def _spoil(whole: Json) -> st.SearchStrategy[Json]:
    """The object, or the object with one field of another value."""
    return st.just(whole) | st.builds(
        lambda name, value: {**whole, name: value}, st.sampled_from(sorted(whole)), VALUES
    )


FIELDS = (
    "instructions",
    "tool_choice",
    "text",
    "reasoning",
    "include",
    "metadata",
    "parallel_tool_calls",
    "top_logprobs",
)


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from([MESSAGE, CALL, OUTPUT, THOUGHT]).flatmap(_spoil), max_size=4),
    st.lists(st.sampled_from([TOOL, NAMESPACE, CUSTOM]).flatmap(_spoil), max_size=2),
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=2),
)
def test_any_request_is_converted_or_refused(items: list[Json], tools: list[Json], fields: Json) -> None:
    with suppress(RefusedError):
        chat, answer = translate({"model": "m", "input": [MESSAGE, *items], "tools": tools, **fields})
        orjson.dumps(chat)
        answer.feed({"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]})
        answer.finish()
        select_fields(chat)
        check_messages(chat)
