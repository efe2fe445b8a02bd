"""A server that does not stream, asked for a stream: its whole answer is one, and what is no answer stays a failure."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gateway.formats.chat import ChatAnswer
from gateway.formats.collect import ChatCollector
from gateway.lanes.readers import ChunkReader, OpenAIChunks, PassThrough
from gateway.lanes.unstreamed import write_whole
from gateway.outcomes import BROKEN_ANSWER, SERVER_ERROR, TargetError
from hypothesis import given
from hypothesis import strategies as st

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


def completion(message: Any, finish: Any = "stop") -> bytes:
    choice = {"index": 0, "finish_reason": finish, "message": message}
    return json.dumps({"id": "1", "model": "theirs", "choices": [choice], "usage": USAGE}).encode()


@pytest.mark.parametrize(
    "message", [{"role": "assistant", "content": "hi"}, {"role": "assistant", "content": None, "tool_calls": [CALL]}]
)
def test_a_whole_answer_comes_back_as_it_was(message: dict[str, Any]) -> None:
    reader = ChunkReader(OpenAIChunks(), ChatAnswer("mine", wants_usage=False, one_call=False), ChatCollector("mine"))
    reader.feed(write_whole(completion(message)))
    answer = json.loads(reader.finish())
    assert (reader.is_done, answer["model"], answer["usage"]) == (True, "mine", USAGE)
    assert answer["choices"] == [{"index": 0, "finish_reason": "stop", "message": message}]


def test_a_client_that_wants_a_stream_gets_one() -> None:
    reader = PassThrough("mine", wants_usage=False)
    sent = reader.feed(write_whole(completion({"content": "hi"})))
    assert reader.is_done
    assert b'"content":"hi"' in sent
    assert sent.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"{}", b"{", b'{"choices": []}', b'{"choices": [null]}', completion(None), completion({}),
     completion({"content": None}), completion({"content": "x"}, finish=None)],
)  # fmt: skip
def test_what_is_no_answer_is_a_failure(body: bytes) -> None:
    with pytest.raises(TargetError) as caught:
        write_whole(body)
    assert caught.value.outcome is BROKEN_ANSWER


def test_an_error_with_a_status_of_200_is_the_servers() -> None:
    with pytest.raises(TargetError) as caught:
        PassThrough("mine", wants_usage=False).feed(write_whole(b'{"error": {"message": "x"}}'))
    assert caught.value.outcome is SERVER_ERROR


@given(st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=9),
                    lambda inner: st.lists(inner, max_size=3)
                    | st.dictionaries(st.sampled_from(["choices", "message", "content", "error", "text", "usage"]),
                                      inner, max_size=4)))  # fmt: skip
def test_any_json_is_an_answer_or_a_failure(value: object) -> None:
    try:
        PassThrough("mine", wants_usage=False).feed(write_whole(json.dumps(value).encode()))
    except (TargetError, ValueError, TypeError, KeyError, AttributeError):  # all of which the lane takes for broken
        return
