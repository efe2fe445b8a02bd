"""Chat chunks as servers send them, and the events that a Responses answer makes of them, for tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from gateway.formats.responses import ResponsesAnswer
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

_EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
ROLE: dict[str, Any] = {
    "id": "chatcmpl-1",
    "created": 1_700_000_000,
    "model": "engine-file.gguf",
    "choices": [{"index": 0, "delta": {"role": "assistant", "content": None}, "finish_reason": None}],
}
USAGE: dict[str, Any] = {
    "choices": [],
    "usage": {
        "prompt_tokens": 11,
        "completion_tokens": 4,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 3},
    },
}


def delta(**fields: Any) -> dict[str, Any]:
    """A chunk with this delta."""
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


def call(index: int, arguments: str, name: str | None = None, call_id: str | None = None) -> dict[str, Any]:
    """A chunk with a piece of a tool call."""
    function = {"arguments": arguments} | ({"name": name} if name else {})
    return delta(tool_calls=[{"index": index, "function": function} | ({"id": call_id} if call_id else {})])


def end(reason: str) -> dict[str, Any]:
    """The chunk with the finish reason."""
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}


def read_events(stream: bytes) -> list[dict[str, Any]]:
    """The events of a stream; the types of OpenAI's SDK must accept each, and its name must stand in both lines."""
    events = []
    for block in stream.decode().split("\n\n")[:-1]:
        name, data = block.split("\n")
        _EVENTS.validate_json(data.removeprefix("data: "))
        events.append(orjson.loads(data.removeprefix("data: ")))
        assert name == f"event: {events[-1]['type']}"
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events


def run(answer: ResponsesAnswer, chunks: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """All events of an answer that is fed these chunks and then ends."""
    return read_events(b"".join(map(answer.feed, chunks)) + answer.finish())


def name_types(events: Iterable[dict[str, Any]]) -> list[str]:
    """The events' types, without what all begin with."""
    return [event["type"].removeprefix("response.") for event in events]
