"""A streamed chat completion as text: its server-sent events, and the errors that stand in for them. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from stackctl.core.stack.runtime import ChatPiece
from stackctl.errors import RuntimeFailure


def split_lines(pieces: Iterable[str]) -> Iterator[str]:
    """Lines of a text that comes in pieces. JSON may hold what Python takes for the end of a line, such as U+2028."""
    rest = ""
    for piece in pieces:
        *lines, rest = (rest + piece).split("\n")
        yield from (line.removesuffix("\r") for line in lines)
    if rest:
        yield rest


def parse_events(lines: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    """Events up to the end mark.

    Raises:
        RuntimeFailure: an event is an error or no JSON, or the lines end without the end mark.
    """
    for line in lines:
        data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
        if data == "[DONE]":
            return
        if not data:
            continue
        try:
            event = json.loads(data)
        except ValueError:
            event = None
        if not isinstance(event, dict) or "error" in event:
            raise RuntimeFailure(f"The answer broke off: {read_error(data)}", "run 'stackctl health'")
        yield event
    raise RuntimeFailure("The answer broke off: the stream ended without its end mark.", "run 'stackctl health'")


def list_deltas(event: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What an event adds to the message of each choice."""
    choices = event.get("choices")
    found = [choice.get("delta") for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []
    return [delta for delta in found if isinstance(delta, dict)]


def list_pieces(event: Mapping[str, Any]) -> list[ChatPiece]:
    """What an event adds to the answer. A model's thoughts are a piece too, without text: they take time."""
    found = [
        ChatPiece(str(delta.get("content") or ""))
        for delta in list_deltas(event)
        if delta.get("content") or delta.get("reasoning_content")
    ]
    usage = event.get("usage")
    if isinstance(usage, Mapping) and usage.get("completion_tokens"):
        found.append(ChatPiece("", int(usage["completion_tokens"])))
    return found


def read_error(text: str) -> str:
    """The message of an OpenAI-style error body, or the text itself."""
    try:
        return str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip()[:500]
