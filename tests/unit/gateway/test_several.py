"""Several answers to one request, as llama.cpp's server streams them: in order, whole, and counted once."""

from __future__ import annotations

import json
from itertools import groupby
from typing import Any

import pytest
from gateway.formats.chat import ChatAnswer
from gateway.formats.collect import ChatCollector
from gateway.lanes.several import SeveralReader
from gateway.lanes.sse import iterate_json
from gateway.outcomes import TargetError
from hypothesis import given
from hypothesis import strategies as st

DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 12, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 11}}
SAME = {"id": "x", "object": "chat.completion.chunk", "model": "theirs"}


def write(*choices: Any, **more: Any) -> bytes:
    return b"data: " + json.dumps({**SAME, "choices": list(choices), **more}).encode() + b"\n\n"


def say(index: int, text: str, finish: str | None = None) -> bytes:
    return write({"index": index, "delta": {"content": text}, "finish_reason": finish})


def read(data: bytes, choices: int, collector: ChatCollector | None = None) -> bytes:
    reader = SeveralReader(choices, ChatAnswer("mine", wants_usage=True, one_call=False), collector)
    return reader.feed(data) + reader.finish()


def test_what_all_choices_took_is_said_once() -> None:
    data = say(0, "a", "stop") + write(usage=USAGE) + say(1, "b", "stop") + write(usage=USAGE) + DONE
    *_, count, end = [value for _, value, _ in iterate_json(read(data, choices=2))]
    assert end is None
    assert count
    assert count["usage"] == {
        "prompt_tokens": 12,
        "completion_tokens": 4,
        "total_tokens": 16,
        "prompt_tokens_details": {"cached_tokens": 11},
    }
    assert (count["choices"], count["model"], count["id"]) == ([], "mine", "x")


def test_prompts_are_counted_each() -> None:
    first, second = (write({"index": index, "text": "a", "finish_reason": "stop"}, usage=USAGE) for index in (1, 0))
    answer = json.loads(read(b"data: null\n\n" + first + second + DONE, 1, ChatCollector("mine")))
    assert answer["usage"]["prompt_tokens"] == 24


def test_an_empty_event_alone_is_no_answer() -> None:
    with pytest.raises(TargetError):
        read(b"data: null\n\n" + DONE, choices=2)


@given(st.permutations([index for index in range(3) for _ in range(3)]))
def test_answers_begin_in_their_order_and_stay_whole(order: list[int]) -> None:
    texts = {index: iter("abc") for index in range(3)}
    data = b"".join(say(index, text := next(texts[index]), "stop" if text == "c" else None) for index in order)
    sent = [value["choices"][0] for _, value, _ in iterate_json(read(data + DONE, choices=3)) if value]

    begun = list(dict.fromkeys(choice["index"] for choice in sent))
    said = {
        index: "".join(choice["delta"]["content"] for choice in choices)
        for index, choices in groupby(sorted(sent, key=lambda choice: choice["index"]), lambda choice: choice["index"])
    }
    assert begun == [0, 1, 2]
    assert said == dict.fromkeys(range(3), "abc")
