"""What each kind of server is sent for a request in Anthropic's format."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from gateway.catalog.values import Provider, Route, Target
from gateway.formats.call import Call
from gateway.lanes.choose import build_stream_request
from gateway.lanes.stream import StreamRequest

from tests.anthropic_events import Json, call_delta, delta, usage_chunk

BODY: Json = {
    "model": "claude-x",
    "max_tokens": 5,
    "stream": True,
    "top_k": 3,
    "stop_sequences": ["END"],
    "thinking": {"type": "enabled", "budget_tokens": 2000},
    "output_config": {"effort": "high"},
    "messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": ""}]},
        {"role": "user", "content": "b"},
    ],
}


def _build(kind: str, **changes: Any) -> StreamRequest:
    target = Target("m", Provider("p", kind), "upstream-m", "chat", "http://server.test/v1")
    call = Call("messages", {**BODY, **changes}, "claude-x", "id")
    return build_stream_request(call, target, Route("m", (target,)))


def _send(kind: str) -> Json:
    request = _build(kind)
    assert request.path == "/chat/completions"
    sent = orjson.loads(request.body)
    assert isinstance(sent, dict)
    return sent


@pytest.mark.parametrize("kind", ["openai", "openai-compatible", "internal"])
def test_a_strict_server_is_sent_nothing_but_openais_fields(kind: str) -> None:
    sent = _send(kind)
    assert sent.keys() == {"model", "max_tokens", "messages", "stop", "stream", "stream_options"}
    assert all(message.keys() == {"role", "content"} for message in sent["messages"])


@pytest.mark.parametrize("kind", ["engine", "vllm-engine", "vllm", "lm_studio", "ollama"])
def test_a_server_that_knows_more_is_sent_what_the_client_wishes(kind: str) -> None:
    sent = _send(kind)
    assert sent["top_k"] == 3
    assert sent["chat_template_kwargs"] == {"enable_thinking": True}
    assert sent["messages"][1]["reasoning_content"] == "t"
    assert sent.get("return_progress", False) is kind.endswith("engine")


def _answer_whole(kind: str, *chunks: Json) -> Json:
    """The whole message that a client gets for a server's stream of these chunks."""
    reader = _build(kind, stream=False).reader
    for chunk in chunks:
        reader.feed(b"data: %s\n\n" % orjson.dumps(chunk))
    reader.feed(b"data: [DONE]\n\n")
    message = orjson.loads(reader.finish())
    assert isinstance(message, dict)
    return message


def test_a_whole_answer_names_the_stop_sequence_as_each_server_tells_it() -> None:
    vllm, llama_cpp = delta("stop"), {**delta("stop"), "__verbose": {"stopping_word": "END"}}
    vllm["choices"][0]["stop_reason"] = "END"
    for kind, end in (("vllm", vllm), ("engine", llama_cpp)):
        message = _answer_whole(kind, delta(content="a"), end, usage_chunk(9, 2, 4))
        assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "END")
        assert message["usage"]["input_tokens"] == 5


def test_a_whole_answer_has_calls_and_thoughts_put_together() -> None:
    message = _answer_whole(
        "engine",
        delta(reasoning_content="Hm"),
        delta(reasoning_content="m."),
        call_delta(0, '{"a"', id="c1", name="one"),
        call_delta(0, ":1}"),
        call_delta(1, "{}", id="c2", name="two"),
        delta("tool_calls"),
        usage_chunk(9, 2),
    )
    assert message["content"] == [
        {"type": "thinking", "thinking": "Hmm.", "signature": ""},
        {"type": "tool_use", "id": "c1", "name": "one", "input": {"a": 1}},
        {"type": "tool_use", "id": "c2", "name": "two", "input": {}},
    ]
