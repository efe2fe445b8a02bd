"""What a client was answered, put together from a stream's pieces so that a mask sees whole secrets."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from gateway.observe.answered import read_answer, shorten
from gateway.observe.masks import Masks
from hypothesis import given
from hypothesis import strategies as st

SECRET = "sk-Abcdefgh-0123456789"


def write(*events: dict[str, Any], end: str = "data: [DONE]\n\n") -> bytes:
    return (
        "".join(f"event: {event.get('type', 'x')}\ndata: {json.dumps(event)}\n\n" for event in events) + end
    ).encode()


def chat(**delta: Any) -> dict[str, Any]:
    return {"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def block(**delta: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 1, "delta": delta}


def call(text: str) -> dict[str, Any]:
    return {"index": 2, "id": "call_1", "type": "function", "function": {"name": "", "arguments": text}}


STREAMS: dict[str, Callable[[str], dict[str, Any]]] = {
    "chat": lambda text: chat(content=text),
    "thought": lambda text: chat(reasoning_content=text),
    "tools": lambda text: chat(tool_calls=[call(text)]),
    "completions": lambda text: {"choices": [{"index": 1, "text": text, "logprobs": {"tokens": [text]}}]},
    "messages": lambda text: block(type="text_delta", text=text),
    "messages' tools": lambda text: block(type="input_json_delta", partial_json=text),
    "responses": lambda text: {
        "type": "response.output_text.delta",
        "output_index": 0,
        "content_index": 0,
        "delta": text,
    },
}


@pytest.mark.parametrize("name", STREAMS)
@given(st.lists(st.integers(1, len(SECRET) - 1), unique=True))
def test_a_secret_that_a_stream_cuts_is_hidden_wherever_it_cuts(name: str, cuts: list[int]) -> None:
    ends = [0, *sorted(cuts), len(SECRET)]
    pieces = [SECRET[start:end] for start, end in pairwise(ends)]
    answer = read_answer(write(*(STREAMS[name](piece) for piece in ["it is ", *pieces, " indeed"])))
    assert list(answer.values()) == [f"it is {SECRET} indeed"] or name == "tools"
    hidden = json.dumps(Masks().hide_in(answer))
    assert "it is [key] indeed" in hidden
    assert all(piece not in hidden for piece in pieces if len(piece) > 8)


def test_texts_stand_under_their_place() -> None:
    data = write(chat(role="assistant", content="a"), chat(content="b"), chat(tool_calls=[call("{}")]))
    assert read_answer(data) == {
        "choices.0.delta.content": "ab",
        "choices.0.delta.tool_calls.2.function.name": "",
        "choices.0.delta.tool_calls.2.function.arguments": "{}",
    }


def test_the_whole_answer_at_the_end_of_a_response_is_taken() -> None:
    output = [{"type": "message", "content": [{"type": "output_text", "text": "ab"}]}]
    data = write(STREAMS["responses"]("a"), {"type": "response.completed", "response": {"output": output}})
    assert read_answer(data) == {"output": output}


@pytest.mark.parametrize("data", [b"", b"data: {", b"data: 7\n\n", b"\xff\xfe", b'data: {"choices": null}\n\n'])
def test_what_is_no_answer_says_nothing(data: bytes) -> None:
    assert read_answer(data) == {}


def test_a_stream_that_breaks_off_keeps_what_came() -> None:
    assert read_answer(write(chat(content="a"), end='data: {"choices": [{"delta": {"content": "b')) == {
        "choices.0.delta.content": "a"
    }


def test_pictures_vectors_and_tokens_are_left_out() -> None:
    value = {"url": "data:image/png;base64," + "iVBOR" * 99, "data": "QUJD" * 999, "embedding": [0.5] * 99, "n": [1, 2]}
    assert shorten(value) == {
        "url": "data:image/png;base64,[495 characters left out]",
        "data": "[3996 characters of base64 left out]",
        "embedding": "[99 numbers left out]",
        "n": [1, 2],
    }
    words = "usual words of a long prompt " * 999
    assert shorten(words) == words
