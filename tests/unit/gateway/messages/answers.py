"""Answers in Anthropic's format for tests: chunks of a chat completion in, events out."""

from __future__ import annotations

from typing import Any

from gateway.formats.messages import translate
from gateway.formats.messages.answer import MessagesAnswer

from tests.anthropic_events import Json, delta, read_events, stream

PING: Json = {"type": "ping"}


def answer(**fields: Any) -> MessagesAnswer:
    """The answer to a request with these fields."""
    body = {"model": "claude-x", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}], **fields}
    return translate(body)[1]


def run(*chunks: Json, **fields: Any) -> list[Json]:
    """The events for chunks, all of them but the pings."""
    return [event for event in read_events(stream(answer(**fields), chunks)) if event != PING]


def last_delta(*chunks: Json, **fields: Any) -> Json:
    """The event that ends a message."""
    event = run(*chunks, **fields)[-2]
    assert event["type"] == "message_delta"
    return event


def progress(total: int, cache: int, processed: int) -> Json:
    """A chunk of llama.cpp before the first token."""
    return {
        **delta(role="assistant", content=None),
        "prompt_progress": {"total": total, "cache": cache, "processed": processed, "time_ms": 1},
    }
