"""Streams of Anthropic's events for tests: chunks in, what its clients read out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from gateway.formats.messages import MessagesAnswer

Json = dict[str, Any]


def delta(finish: str | None = None, **fields: Any) -> Json:
    """A chunk of a chat completion."""
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def call_delta(index: int, arguments: str = "", **fields: Any) -> Json:
    """A chunk with a piece of a tool call; ``name`` and ``id`` as fields."""
    function = {"arguments": arguments} | ({"name": fields.pop("name")} if "name" in fields else {})
    return delta(tool_calls=[{"index": index, "type": "function", "function": function, **fields}])


def usage_chunk(prompt: int, completion: int, cached: int = 0) -> Json:
    """The chunk before ``[DONE]``."""
    details = {"cached_tokens": cached}
    return {
        "choices": [],
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "prompt_tokens_details": details},
    }


def stream(answer: MessagesAnswer, chunks: Iterable[Json]) -> bytes:
    """The whole stream of an answer."""
    return b"".join([*map(answer.feed, chunks), answer.finish()])


def read_events(data: bytes) -> list[Json]:
    """The events of a stream, each checked to bear its type as its name."""
    events = []
    assert data.endswith(b"\n\n")
    for event in data[:-2].split(b"\n\n"):
        head, _, body = event.partition(b"\n")
        value = orjson.loads(body.removeprefix(b"data: "))
        assert head == b"event: " + value["type"].encode()
        events.append(value)
    return events


def read_blocks(events: Iterable[Json]) -> list[Json]:
    """The content blocks of a stream, put together; checks that they follow each other, with consecutive indexes."""
    blocks: list[Json] = []
    is_open = False
    for event in events:
        if event["type"] == "content_block_start":
            assert not is_open
            assert event["index"] == len(blocks)
            blocks.append({**event["content_block"], "json": ""})
            is_open = True
        elif event["type"] == "content_block_delta":
            assert is_open
            assert event["index"] == len(blocks) - 1
            kind, *_ = names = [name for name in event["delta"] if name != "type"]
            assert len(names) == 1
            name = "json" if kind == "partial_json" else kind
            blocks[-1][name] += event["delta"][kind]
        elif event["type"] == "content_block_stop":
            assert is_open
            assert event["index"] == len(blocks) - 1
            is_open = False
    assert not is_open
    return blocks
